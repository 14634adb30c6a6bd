// Holds idle WebSockets, one a virtual user, with a ping every 25 s: what BenchmarkHold10000WebSockets does, by k6.
//   k6 run -e URL=ws://127.0.0.1:8080/ -e VUS=2000 -e HOLD=60 hold.js
// HOLD is in seconds from the start of each; in all, twice that may pass.
import { WebSocket } from 'k6/websockets';

const hold = Number(__ENV.HOLD);

export const options = {
  scenarios: { hold: { executor: 'per-vu-iterations', vus: Number(__ENV.VUS), iterations: 1, maxDuration: `${2 * hold}s`, gracefulStop: '0s' } },
};

export default function () {
  const socket = new WebSocket(__ENV.URL);
  let beat;
  socket.onopen = () => {
    beat = setInterval(() => socket.ping(), 25000);
    setTimeout(() => socket.close(), hold * 1000);
  };
  socket.onclose = () => clearInterval(beat);
}
