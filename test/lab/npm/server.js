'use strict';
const { Server } = require('socket.io');
require('./socketio.js')((http) => new Server(http, { cors: { origin: '*' } }));
