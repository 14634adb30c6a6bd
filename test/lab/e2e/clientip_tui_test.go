package e2e

import (
	"strings"
	"testing"
	"time"

	"github.com/kubestickytop/stickytop/test/lab"
)

// testPinsOnScreen looks at view 6 on a node: the clients with the time they have left, one in full, and the node's
// lists.
func testPinsOnScreen(t *testing.T, l *lab.Lab) {
	kubectl(t, l, "-n", "msgapp", "patch", "service", "echo", "-p", `{"spec":{"sessionAffinity":"ClientIP","sessionAffinityConfig":{"clientIP":{"timeoutSeconds":60}}}}`)
	time.Sleep(3 * time.Second) // kube-proxy's turn
	visit(t, l, 2, 101, 5)
	for _, size := range []struct{ width, height int }{{80, 24}, {140, 40}} {
		term := terminalIn(t, l, "node2", size.width, size.height)
		term.typed(product(t) + " svc/echo -n msgapp --no-probe --kernel local --kernel-node node2")
		term.shows(t, 20*time.Second, "WATCHING")
		term.key(t, "6")
		text := term.shows(t, 10*time.Second, "172.30.0.101", "172.30.0.105", "node2", "pinned", "kern", "of ")
		wantFits(t, text, size.width, size.height)
		term.key(t, "Enter")
		text = term.shows(t, 5*time.Second, "RENEWAL", "each new connection through a node", "node2 alone knows this pin", "LIST")
		if !strings.Contains(text, "0:") || strings.Contains(text, "SINCE     —") {
			t.Errorf("no time left, or not since when:\n%s", text)
		}
		wantFits(t, text, size.width, size.height)
		term.key(t, "q")
	}
}
