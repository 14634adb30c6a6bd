// A chat backend on Socket.IO, any version: polling and websocket, echo of messages, every connection logged.
'use strict';
const { pod, log, about, server, legs, revealUpgrades, workers, start } = require('./common.js');

module.exports = (listen) => workers(() => chat(listen));

function chat(listen) {
  const http = server();
  const interval = Number(process.env.PING_MS || 25000);
  const io = listen(http, { pingInterval: interval, pingTimeout: 20000 });
  io.on('connection', (socket) => {
    const fields = () => ({ sid: socket.id, engineSid: socket.conn.id, transport: socket.conn.transport.name });
    log('connect', { ...fields(), ...about(socket.request) });
    socket.emit('hello', { pod });
    socket.conn.on('upgrade', () => log('upgrade', fields()));
    socket.on('message', (text) => {
      log('message', fields());
      socket.emit('message', { pod, text });
    });
    socket.on('whoami', (answer) => typeof answer === 'function' && answer({ pod, sid: socket.id }));
    socket.on('disconnect', (reason) => log('disconnect', { ...fields(), reason }));
  });
  // Which request a sid was given out to.
  io.engine.on('connection', (conn) => log('open', { sid: conn.id, transport: conn.transport.name, ...about(conn.request) }));
  legs(http, (req) => req.url.startsWith('/socket.io/'));
  http.on('listening', () => revealUpgrades(io.engine.ws)); // engine.io makes its WebSocket server anew then
  // A sid that this pod never gave out: the sign of a request on the wrong pod.
  io.engine.on('connection_error', (e) => log('refused', { code: e.code, message: e.message, ...about(e.req) }));
  start(http);
}
