// SPDX-License-Identifier: MIT
// Timers in the main thread, hashes in four worker threads, messages between
// them; rounds until the gate file exists, then all again from nothing.
'use strict';
const { Worker, isMainThread, parentPort, workerData } = require('worker_threads');
const crypto = require('crypto');
const fs = require('fs');

function round(value) {
	for (let i = 0; i < 200; i++)
		value = crypto.createHash('sha256').update(value + ':' + i).digest('hex');
	return value;
}

if (!isMainThread) {
	let value = 'seed ' + workerData;
	let rounds = 0;
	parentPort.on('message', (message) => {
		if (message === 'stop') {
			parentPort.postMessage({ last: true, rounds, value });
			parentPort.close();
			return;
		}
		value = round(value);
		rounds++;
		parentPort.postMessage({ rounds });
	});
} else {
	const gate = process.argv[2];
	const workers = [];
	let busy = 0, finished = 0, ok = true, total = 0, ticks = 0, ended = false;
	const timer = setInterval(() => {
		ticks++;
		if (!ended && ticks > 5 && fs.existsSync(gate)) {
			ended = true;
			for (const w of workers)
				w.postMessage('stop');
		}
	}, 20);
	for (let n = 0; n < 4; n++) {
		const worker = new Worker(__filename, { workerData: n });
		workers.push(worker);
		worker.on('message', (message) => {
			if (!message.last) {
				if (message.rounds === 3 && ++busy === 4)
					console.log('ready');
				if (!ended)
					worker.postMessage('go');
				return;
			}
			let again = 'seed ' + n;
			for (let r = 0; r < message.rounds; r++)
				again = round(again);
			if (again !== message.value)
				ok = false;
			total += message.rounds;
			if (++finished === 4) {
				clearInterval(timer);
				console.log(`done rounds=${total} ${ok ? 'ok' : 'WRONG'}`);
				process.exitCode = ok ? 0 : 1;
			}
		});
		worker.on('error', (error) => { console.log('WRONG: ' + error); process.exitCode = 1; });
		worker.postMessage('go');
	}
}
