'use strict';
const { Server } = require('socket.io');
require('./socketio.js')((http, ping) => new Server(http, { ...ping, cors: { origin: '*' } }));
