// What the three servers share: who they are, one JSON log line per event, HTTP beside the sockets.
'use strict';
const http = require('node:http');
const os = require('node:os');

const pod = process.env.POD_NAME || os.hostname();
const port = Number(process.env.PORT || 5000);

function log(event, fields) {
  console.log(JSON.stringify({ time: new Date().toISOString(), pod, event, ...fields }));
}

// Names only: cookie values are other people's sessions.
function cookieNames(header) {
  return (header || '').split(';').map((c) => c.split('=')[0].trim()).filter(Boolean);
}

function about(req) {
  return {
    client: `${req.socket.remoteAddress}:${req.socket.remotePort}`,
    forwarded: req.headers['x-forwarded-for'],
    method: req.method,
    host: req.headers.host,
    path: req.url.split('?')[0],
    session: req.headers['x-stickytop-session'],
    requestId: req.headers['x-request-id'],
    cookies: cookieNames(req.headers.cookie),
  };
}

// An HTTP server for everything that is not a socket's: health, and answers that name the pod.
function server() {
  return http.createServer((req, res) => {
    const path = req.url.split('?')[0];
    if (path === '/api/health') {
      res.writeHead(200, { 'Content-Type': 'application/json' });
      res.end('{"status":"ok"}\n');
      if (!(req.headers['user-agent'] || '').startsWith('kube-probe/')) log('http', { status: 200, ...about(req) });
      return;
    }
    const headers = { 'Content-Type': 'application/json' };
    if (path.startsWith('/named')) headers['X-Pod-Name'] = pod;
    res.writeHead(200, headers);
    res.end(JSON.stringify(path.startsWith('/nameless') ? { path } : { pod, path }) + '\n');
    log('http', { status: 200, ...about(req) });
  });
}

function start(http) {
  http.listen(port, '0.0.0.0', () => log('listening', { port }));
  process.on('SIGTERM', () => {
    log('terminating', {});
    http.close(() => process.exit(0));
    http.closeIdleConnections();
    setTimeout(() => process.exit(0), Number(process.env.DRAIN_MS || 2000)).unref();
  });
}

module.exports = { pod, log, about, server, start };
