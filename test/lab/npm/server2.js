'use strict';
require('./socketio.js')((http, ping) => require('socket.io2')(http, ping));
