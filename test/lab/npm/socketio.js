// A chat backend on Socket.IO, any version: polling and websocket, echo of messages, every connection logged.
'use strict';
const { pod, log, about, server, start } = require('./common.js');

module.exports = function chat(listen) {
  const http = server();
  const io = listen(http);
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
  // A sid that this pod never gave out: the sign of a request on the wrong pod.
  if (io.engine) {
    io.engine.on('connection_error', (e) => log('refused', { code: e.code, message: e.message, ...about(e.req) }));
  }
  start(http);
};
