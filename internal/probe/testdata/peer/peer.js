// The real servers, for the tests: socket.io 4 (io4), socket.io 2 (io2), ws. Every leg is logged as JSON, by the server itself.
'use strict';
const http = require('node:http');
const [kind, name] = process.argv.slice(2);
const options = JSON.parse(process.argv[4] || '{}');
const log = (event, fields) => console.log(JSON.stringify({ event, ...fields }));
const server = http.createServer((req, res) => {
  res.writeHead(200, { 'Content-Type': 'text/html' });
  res.end('<!doctype html><title>app</title>');
});
const about = (req) => ({ requestId: req.headers['x-request-id'], session: req.headers['x-stickytop-session'], method: req.method });

if (kind === 'ws') {
  const { WebSocketServer } = require('ws');
  new WebSocketServer({ server, ...options.engine, handleProtocols: (set) => (set.has('chat.v2') ? 'chat.v2' : false) }).on('connection', (socket, req) => {
    log('connect', { ...about(req), origin: req.headers.origin, extra: req.headers['x-extra'], protocol: socket.protocol });
    socket.send(JSON.stringify({ pod: name }));
    socket.on('message', (data) => {
      const text = data.toString();
      log('message', { text: text.slice(0, 80) });
      if (text === 'close') socket.close(4001, 'go away');
      else if (text === 'kill') socket.terminate();
      else if (text.startsWith('big ')) socket.send('x'.repeat(Number(text.slice(4))));
      else socket.send(JSON.stringify({ pod: name, text }));
    });
    socket.on('close', (code) => log('disconnect', { code }));
  });
} else {
  // The middleware of a server that takes nobody.
  if (options.forbid) options.engine = { ...options.engine, allowRequest: (req, done) => done(options.forbid, false) };
  const io = kind === 'io4' ? new (require('socket.io').Server)(server, options.engine) : require('socket.io2')(server, options.engine);
  const connected = (socket) => {
    log('connect', { sid: socket.conn.id, transport: socket.conn.transport.name, auth: socket.handshake.auth, namespace: socket.nsp.name, ...about(socket.request) });
    socket.emit('hello', { pod: name });
    socket.conn.on('upgrade', () => log('upgrade', { sid: socket.conn.id, transport: socket.conn.transport.name }));
    socket.on('whoami', (answer) => (options.binaryAck ? answer(Buffer.from(name), { pod: name }) : answer({ pod: name })));
    // What no library sends, as raw Engine.IO messages.
    for (const [i, raw] of (options.raw || []).entries()) setTimeout(() => socket.conn.write(raw), 300 * (i + 1));
    socket.on('disconnect', (reason) => log('disconnect', { sid: socket.conn.id, reason }));
    if (options.binary) socket.emit('blob', Buffer.from([1, 2, 3]), { pod: 'elsewhere' });
    if (options.kick) setTimeout(() => socket.disconnect(options.kick === 'close'), 200);
  };
  io.on('connection', connected);
  if (options.namespace) {
    const nsp = io.of(options.namespace);
    if (options.refuse) nsp.use((socket, next) => next(new Error(options.refuse)));
    nsp.on('connection', connected);
  }
  const refused = (e) => log('refused', { code: e.code, ...about(e.req) });
  io.engine && io.engine.on('connection_error', refused);
}
server.listen(0, '127.0.0.1', () => log('listening', { port: server.address().port }));
// The process ends with whoever started it.
process.stdin.on('end', () => process.exit(0)).resume();
