#!/usr/bin/env node
// Stands for llama.cpp's rpc-server in tests: listens where it is told and drops what comes.
import net from 'node:net';

const flag = (name) => process.argv[process.argv.indexOf(name) + 1];

net.createServer((socket) => socket.on('error', () => {}).resume()).listen(Number(flag('-p')), flag('-H'));
