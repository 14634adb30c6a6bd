'use strict';
require('./socketio.js')((http) => require('socket.io2')(http));
