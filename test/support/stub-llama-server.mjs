#!/usr/bin/env node
// Stands for llama.cpp's server in tests: takes its flags, dials the stages, answers /health and one chat route with timings.
import http from 'node:http';
import net from 'node:net';

const flag = (name) => process.argv[process.argv.indexOf(name) + 1];

if (flag('-m') === 'missing.gguf') {
  console.error('no such model');
  process.exit(1);
}

for (const stage of flag('--rpc').split(',')) {
  const [host, port] = stage.split(':');
  net.connect({ host, port: Number(port) }).end('weights');
}

const speculates = process.argv.includes('--spec-type');

http
  .createServer(async (request, response) => {
    if (request.url === '/health') return response.end('{"status":"ok"}');
    let body = '';
    for await (const chunk of request) body += chunk;
    const { messages, max_tokens } = JSON.parse(body);
    if (messages[0].content === 'fail') {
      response.statusCode = 500;
      return response.end('made to fail');
    }
    const timings = {
      predicted_n: max_tokens,
      predicted_ms: 10 * (max_tokens - 1),
      ...(speculates ? { draft_n: 8, draft_n_accepted: 4 } : {}),
    };
    response.end(JSON.stringify({ choices: [{ message: { role: 'assistant', content: 'hi' } }], timings }));
  })
  .listen(Number(flag('--port')), flag('--host'));
