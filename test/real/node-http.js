// SPDX-License-Identifier: MIT
// An HTTP server in a child process, and clients that keep their connections,
// until the gate file exists. No request fails, no answer is wrong.
'use strict';
const { fork } = require('child_process');
const fs = require('fs');
const http = require('http');

function serve() {
	const server = http.createServer((request, response) => {
		const hash = require('crypto').createHash('sha256');
		request.on('data', (data) => hash.update(data));
		request.on('end', () => response.end(hash.digest('hex')));
	});
	server.keepAliveTimeout = 600000;
	// None that connections of others get by chance.
	const listen = () =>
		server.listen(10000 + Math.floor(Math.random() * 20000), '127.0.0.1');
	server.on('error', listen);
	server.on('listening', () => process.send(server.address().port));
	listen();
}

function ask(port, agent, body) {
	return new Promise((resolve, reject) => {
		const request = http.request({ port, host: '127.0.0.1', agent,
			method: 'POST' }, (response) => {
			let text = '';
			response.on('data', (data) => { text += data; });
			response.on('end', () => resolve(text));
		});
		request.on('error', reject);
		request.end(body);
	});
}

async function client(port, gate) {
	const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
	let rounds = 0;
	while (rounds < 20 || !fs.existsSync(gate)) {
		const body = require('crypto').randomBytes(1 + rounds % 50000);
		const right = require('crypto').createHash('sha256')
			.update(body).digest('hex');
		if (await ask(port, agent, body) !== right)
			throw new Error('wrong answer');
		rounds++;
		if (rounds === 5)
			client.started = (client.started || 0) + 1;
		if (client.started === 10) {
			client.started = 11;
			console.log('ready');
		}
		await new Promise((resolve) => setTimeout(resolve, 5));
	}
	agent.destroy();
}

if (process.argv[2] === 'serve') {
	serve();
} else {
	const child = fork(__filename, ['serve']);
	child.on('message', async (port) => {
		const all = [];
		for (let i = 0; i < 10; i++)
			all.push(client(port, process.argv[2]));
		try {
			await Promise.all(all);
			console.log('done ok');
		} catch (error) {
			console.log('done WRONG: ' + error);
			process.exitCode = 1;
		}
		child.kill();
		child.disconnect();
	});
}
