// Loaded before a framework's own server (`node --import`): says where it listens, ends with its parent, and records
// the requests that reach it. `GET /_tap` answers with the record, `DELETE /_tap` empties it.
import { ServerResponse, Server } from 'node:http';

const RECORDED_MAX = 20_000;
let recorded = [];

const listen = Server.prototype.listen;
Server.prototype.listen = function (first, ...others) {
  // The frameworks read their ports in five ways, and not all of them know port 0.
  const callback = others.find((other) => typeof other === 'function');
  return listen.call(this, { host: '127.0.0.1', port: Number(process.env.PORT ?? 0) }, callback);
};

const emit = Server.prototype.emit;
Server.prototype.emit = function (event, ...args) {
  if (event === 'listening') {
    const { address, port } = this.address();
    console.log(`listening on http://${address}:${port}`);
  }
  if (event === 'request' && args[0].url === '/_tap') {
    return answer(...args);
  }
  if (event === 'request' && recorded.length < RECORDED_MAX) {
    const [{ method, url, rawHeaders, headers }] = args;
    args[1].setHeader('x-deployment-id', process.env.DEPLOYMENT ?? 'a');
    recorded.push({ method, url, headers: { ...headers }, lines: rawHeaders.length / 2 });
  }
  return emit.call(this, event, ...args);
};

function answer(request, response) {
  const document = JSON.stringify(recorded);
  if (request.method === 'DELETE') {
    recorded = [];
  }
  response.setHeader('cache-control', 'no-store');
  ServerResponse.prototype.end.call(response, document);
  return true;
}

if (process.env.EXIT_WITH_STDIN) {
  process.stdin.on('end', () => process.exit(0)).on('error', () => process.exit(0)).resume();
}
