package findings

import "github.com/kubestickytop/stickytop/internal/affinity"

// The rules in this file have no check: sessions show them, and the fold that
// judges sessions says so (internal/affinity/socket_*.go). Their proof is
// internal/affinity/testdata/sockets/ID.

var b07 = Rule{
	ID: "B07", Title: "Sticky only for cookie-keeping clients", Severity: affinity.SeverityCritical, Runtime: true,
	What:   "The affinity cookie is offered, and the client has no jar to keep it in: Node, Java, Swift, Python, mobile apps, load generators. It works in a browser and nowhere else.",
	Shown:  "a session without a jar is refused with code 1 by another pod than its handshake's, though the cookie was offered. So is one that was offered a cookie where nothing says what the affinity cookie is called; that stays likely. It is likely until a session that keeps cookies gets by on the same route, and taken back when one fails too.",
	Impact: "clients that keep no cookies get 400 Session ID unknown as often as another pod is picked; browsers see nothing of it",
	Fix:    "let the client keep cookies (withCredentials: true, in Node since Socket.IO 4.7), or connect with transports: [\"websocket\"] alone",
	Verify: "hold sessions with --client browser and --client no-jar: neither is refused with code 1",
	Sources: []string{"socketio/socket.io#3383", "socketio/socket.io#2036", "socketio/socket.io-client#1159", "socketio/socket.io-client-java#468",
		"1c3t3a/rust-socketio#474", "engine.io-client CHANGELOG 6.5.0"},
}

var i01 = Rule{
	ID: "I01", Title: "400 Session ID unknown: the next request went to another pod", Severity: affinity.SeverityCritical, Runtime: true,
	What: "Engine.IO keeps a session in the memory of the process that answered its handshake. When the next poll or POST goes to another pod, that pod answers 400 with {\"code\":1,\"message\":\"Session ID unknown\"}. Without affinity that is the rule, not the exception.",
	Shown: "a poll or POST of a session is refused with code 1, and its pod is another than the handshake's, with the jar kept. It is certain when both pods said who they are (a header, the body, a log line), likely when only the cookie tells or nothing does. " +
		"It is not said when the pod of the handshake ended, when the Ingress was edited in between, when the cookie was dropped by hand, or when the server had given the session up; and it is taken back when the watch tells so late.",
	Impact:  "users see 400 Session ID unknown, connect again, and may never get past the handshake",
	Fix:     "turn cookie affinity on for the Socket.IO path; where the cookie is sent and does not hold, find the hop that balances again",
	Verify:  "hold Socket.IO sessions (--transport socketio): all legs of each name one pod, and none is refused with code 1",
	Sources: []string{"Socket.IO documentation, using multiple nodes", "kubernetes/ingress-nginx#2097", "socketio/socket.io#4881", "socketio/socket.io#1739", "miguelgrinberg/Flask-SocketIO#248"},
}

var i03 = Rule{
	ID: "I03", Title: "The WebSocket upgrade goes to another pod", Severity: affinity.SeverityCritical, Runtime: true,
	What:    "Polling works, and the request that upgrades to a WebSocket is routed on its own, to a pod that does not know the session. It is answered 400 with the text Session ID unknown, without JSON.",
	Shown:   "the upgrade of a session is refused with code 1, and its pod is another than the handshake's. Certainty and exceptions are those of I01.",
	Impact:  "the browser reports \"Unexpected response code: 400\" and stays on polling, with a request for every message",
	Fix:     "give the path of the upgrade the same affinity as that of the polls: one Ingress, one path, one cookie",
	Verify:  "hold Socket.IO sessions: the list shows u beside h c p with the same letter",
	Sources: []string{"Socket.IO 2 documentation, using multiple nodes", "socketio/socket.io packages/engine.io/lib/server.ts, abortUpgrade"},
}

var i04 = Rule{
	ID: "I04", Title: "WebSocket-only clients hide that polling is broken", Severity: affinity.SeverityInfo, Runtime: true,
	What:    "With transports: [\"websocket\"] a session is one connection, so it needs no affinity. Everything is green until a client falls back to polling.",
	Shown:   "a session that never polled holds its WebSocket on a route where I01, I02, I03 or B07 was shown. It goes when that goes.",
	Impact:  "affinity is not needed while every client connects with WebSocket alone; one that falls back to polling fails",
	Fix:     "fix what polling shows, or keep every client to WebSocket and know that there is no fallback",
	Verify:  "hold sessions with --socketio-transports polling: none is refused with code 1",
	Sources: []string{"Socket.IO documentation, using multiple nodes (warning)", "socketio/socket.io#3965"},
}

var i07 = Rule{
	ID: "I07", Title: "Client and server speak different versions of Engine.IO", Severity: affinity.SeverityMedium, Runtime: true,
	What:    "Socket.IO 1 and 2 speak Engine.IO 3, Socket.IO 3 and 4 speak 4. A server of the later kind refuses EIO=3 with {\"code\":5,\"message\":\"Unsupported protocol version\"} unless allowEIO3 is set.",
	Shown:   "a handshake is refused with code 5, or answered in the other version. Sessions speak what the server speaks, so also where two of a path that poll are held in different versions at once; --socketio-eio 3 or 4 makes them ask as your clients do, which a server of the other version refuses.",
	Impact:  "clients of that version cannot connect at all, and no affinity can help them",
	Fix:     "bring client and server to one major version, or set allowEIO3: true on the server",
	Verify:  "the handshake with the client's EIO is answered with 200",
	Sources: []string{"socketio/socket.io packages/engine.io/lib/server.ts, verify", "Socket.IO documentation, migrating from 2.x to 3.0"},
}

var i08 = Rule{
	ID: "I08", Title: "The path does not lead to Engine.IO", Severity: affinity.SeverityMedium, Runtime: true,
	What:    "The Socket.IO path is not routed, and a catch-all answers: the page of a single-page application with 200, or an ingress's 404.",
	Shown:   "the answer to a handshake is not Engine.IO's: its body begins neither with 0{ nor with NN:0{. It goes when a later handshake of that session is answered.",
	Impact:  "Socket.IO clients of this route cannot connect; callers that look at the status alone see success",
	Fix:     "route the Socket.IO path to the server that speaks it, before the catch-all; or name the right path with --socketio-path",
	Verify:  "curl the path with ?EIO=4&transport=polling: the body begins with 0{",
	Sources: []string{"n8n-io/terraform-aws-n8n#54", "engine.io-protocol, handshake"},
}

// Those that pins by address show, where nodes' tables are read (--kernel). The
// fold judges them in internal/affinity/address_rules.go; their proof is
// TestPinFindings there.

var d02 = Rule{
	ID: "D02", Title: "ClientIP feeds a pod that is not ready", Severity: affinity.SeverityHigh, Runtime: true,
	Tables:  "stickytop --kernel, or get findings --kernel,",
	What:    "kube-proxy keeps a client on its endpoint as long as the EndpointSlice calls that ready. With publishNotReadyAddresses it always does, and where no endpoint is ready the terminating ones serve. A connection that fails renews the pin like any other, so a client that retries never leaves.",
	Shown:   "the tables of a node (--kernel) hold a pin that was renewed five seconds or more after its pod was seen not ready, terminating or gone.",
	Impact:  "pinned clients stay with a pod that does not serve, while others are ready",
	Fix:     "unset publishNotReadyAddresses, let pods that drain refuse connections late, and let clients back off for longer than the timeout",
	Verify:  "view 6 ClientIP, filter by the pod: none of its pins is renewed",
	Sources: []string{"kubernetes/kubernetes#110302", "kubernetes/kubernetes#114018", "kubernetes staging/src/k8s.io/endpointslice/utils.go", "cilium/cilium#27096"},
}

var e04 = Rule{
	ID: "E04", Title: "A poller holds its ClientIP pin alive", Severity: affinity.SeverityHigh, Runtime: true,
	Tables:  "stickytop --kernel, or get findings --kernel,",
	What:    "Each new connection restarts the time of a pin. A client that connects more often than the timeout, a health check or a proxy, never moves again, also when pods are added.",
	Shown:   "the tables of a node (--kernel) hold a pin for three times its timeout or more. It is told of one client of a Service, and is high where that is the only one of the node's, for then one pod has all the traffic; else it is a fact.",
	Impact:  "where the only client is a proxy, one pod gets everything and the others nothing",
	Fix:     "let health checks and proxies go to the pods, past the Service; or do without sessionAffinity where one proxy is the only client",
	Verify:  "view 6 ClientIP: SINCE of that address",
	Sources: []string{"stacklok/toolhive#5738", "kubernetes pkg/proxy/iptables/proxier.go"},
}

var f09 = Rule{
	ID: "F09", Title: "The node sends a connection to one pod, and another answers", Severity: affinity.SeverityHigh, Runtime: true,
	Tables: "stickytop svc/NAME --kernel --agents 3, or with --from,",
	What:   "Two sources contradict each other: the tables of the node pin a client to one pod, and the answer to that client's new connection names another. Behind the Service something passes requests on (a sidecar, a proxy in the pod, a mesh), or the answer names a pod that it is not from.",
	Shown: "a session from an address of its own is answered, in a header or the body, twice in a row by another pod than the one that the node's tables (--kernel) had pinned its address to for two seconds or more, and each of those connections renewed that pin. " +
		"It is not said of a pin that the connection did not renew (another node's rules, an address that a load balancer put in its place), that is over or shadowed, where the node has one for the other pod too, or by ipvs, which does not tell what renewed it. It stays likely: another client of that address may connect at the same instants.",
	Impact:  "ClientIP does not hold the request where it is answered, or what names the pod cannot be believed",
	Fix:     "find what stands between the node and the application and keep it from balancing; or let the application name its own pod",
	Verify:  "the pod that answers is the pod of the pin in view 6 ClientIP",
	Sources: []string{"kubernetes pkg/proxy/iptables/proxier.go", "kubernetes pkg/proxy/nftables/proxier.go"},
}
