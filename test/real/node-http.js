// SPDX-License-Identifier: MIT
// An HTTP server and clients that keep their connections, until the gate file
// exists. No request fails, no answer is wrong, no connection is made anew.
//
//	node-http.js GATE		the server is a child process
//	node-http.js serve PORT		one of them
//	node-http.js call HOST PORT GATE
'use strict';
const { fork } = require('child_process');
const crypto = require('crypto');
const fs = require('fs');
const http = require('http');

const CLIENTS = 10;

function hash(data) {
	return crypto.createHash('sha256').update(data).digest('hex');
}

function server() {
	const made = http.createServer((request, response) => {
		const sum = crypto.createHash('sha256');
		request.on('data', (data) => sum.update(data));
		request.on('end', () => response.end(sum.digest('hex')));
	});
	made.keepAliveTimeout = 600000;
	made.requestTimeout = 0;
	return made;
}

function serveHere() {
	const made = server();
	// None that connections of others get by chance.
	const listen = () =>
		made.listen(10000 + Math.floor(Math.random() * 20000), '127.0.0.1');
	made.on('error', listen);
	made.on('listening', () => process.send(made.address().port));
	listen();
}

function ask(host, port, agent, body) {
	return new Promise((resolve, reject) => {
		const request = http.request({ port, host, agent,
			method: 'POST' }, (response) => {
			let text = '';
			response.on('data', (data) => { text += data; });
			response.on('end', () => resolve(text));
		});
		request.on('socket', (socket) => {
			agent.used = agent.used || socket;
			if (socket !== agent.used)
				reject(new Error('another connection'));
		});
		request.on('error', reject);
		request.end(body);
	});
}

async function client(host, port, gate) {
	const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
	let rounds = 0;
	while (rounds < 20 || !fs.existsSync(gate)) {
		const body = crypto.randomBytes(1 + rounds % 50000);
		if (await ask(host, port, agent, body) !== hash(body))
			throw new Error('wrong answer');
		rounds++;
		if (rounds === 5)
			client.started = (client.started || 0) + 1;
		if (client.started === CLIENTS) {
			client.started++;
			console.log('ready');
		}
		await new Promise((resolve) => setTimeout(resolve, 5));
	}
	agent.destroy();
}

async function clients(host, port, gate) {
	try {
		await Promise.all(Array.from({ length: CLIENTS },
			() => client(host, port, gate)));
		console.log('done ok');
	} catch (error) {
		console.log('done WRONG: ' + error);
		process.exitCode = 1;
	}
}

const words = process.argv.slice(2);

if (words[0] === 'call') {
	clients(words[1], words[2], words[3]);
} else if (words[0] === 'serve' && words[1]) {
	server().listen(words[1], '0.0.0.0', () => console.log('listening'));
} else if (words[0] === 'serve') {
	serveHere();
} else {
	const child = fork(__filename, ['serve']);
	child.on('message', async (port) => {
		await clients('127.0.0.1', port, words[0]);
		child.kill();
		child.disconnect();
	});
}
