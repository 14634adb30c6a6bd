// A plain WebSocket backend: says its pod's name on connection, echoes messages.
'use strict';
const { WebSocketServer } = require('ws');
const { pod, log, about, server, legs, revealUpgrades, start } = require('./common.js');

const http = server();
const wss = new WebSocketServer({ server: http });
legs(http, (req) => req.headers.upgrade !== undefined);
revealUpgrades(wss);
wss.on('connection', (socket, req) => {
  log('connect', { transport: 'websocket', ...about(req) });
  socket.send(JSON.stringify({ pod }));
  socket.on('message', (data) => socket.send(JSON.stringify({ pod, text: data.toString().slice(0, 4096) })));
  socket.on('close', (code) => log('disconnect', { code }));
});
start(http);
