// What the three servers share: who they are, one JSON log line per event, HTTP beside the sockets.
'use strict';
const http = require('node:http');
const os = require('node:os');

const cluster = require('node:cluster');

const pod = process.env.POD_NAME || os.hostname();
const port = Number(process.env.PORT || 5000);
// REVEAL=header names the pod in every answer of a socket's, as a middleware would.
const reveal = process.env.REVEAL === 'header';

function log(event, fields) {
  const worker = cluster.isWorker ? { worker: cluster.worker.id } : {};
  console.log(JSON.stringify({ time: new Date().toISOString(), pod, ...worker, event, ...fields }));
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

// Logs every request of a socket's path by what the server itself sees of it, one line when it is answered: the truth
// that clients' words are held against. It comes before whoever answers.
function legs(http, isOurs) {
  http.prependListener('request', (req, res) => {
    if (!isOurs(req)) return;
    if (reveal) res.setHeader('X-Pod-Name', pod);
    const seen = leg(req);
    res.on('close', () => log('leg', { ...seen, status: res.statusCode, ended: res.writableFinished }));
  });
  http.prependListener('upgrade', (req) => {
    if (isOurs(req)) log('leg', { ...leg(req), ended: true });
  });
}

function leg(req) {
  const query = new URL(req.url, 'http://localhost').searchParams;
  return { sid: query.get('sid') || '', transport: query.get('transport') || 'websocket', ...about(req) };
}

// Names the pod in the answer to an upgrade.
function revealUpgrades(wss) {
  if (reveal) wss.on('headers', (headers) => headers.push(`X-Pod-Name: ${pod}`));
}

// WORKERS=2 runs two processes that share the port without sharing sessions, as pm2 -i 2 does: connections go to them in turn.
function workers(run) {
  const n = Number(process.env.WORKERS || 1);
  if (n < 2 || cluster.isWorker) return run();
  for (let i = 0; i < n; i++) cluster.fork();
  process.on('SIGTERM', () => {
    for (const w of Object.values(cluster.workers)) w.kill('SIGTERM');
  });
  cluster.on('exit', () => Object.keys(cluster.workers).length === 0 && process.exit(0));
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

module.exports = { pod, log, about, server, legs, revealUpgrades, workers, start };
