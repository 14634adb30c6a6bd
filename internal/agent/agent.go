// Package agent is both ends of a conversation with a pod of ours: a client of
// its own address in the cluster, or a reader of a node's tables.
//
// The pod's end listens on the loopback of its pod, where the API server's
// port-forward ends and no stranger begins. It is told the SHA-256 digest of the
// run's token, so that whoever can read the pod cannot use it. It does nothing
// by itself: sessions are ours, of which it only opens the connections, so that
// a client that vanished leaves no traffic behind. It ends when it is asked to,
// when nobody spoke to it for its silence, and when its life is over.
//
//	GET     /v1/hello     who it is
//	GET     /v1/beat      somebody is there
//	POST    /v1/tables    what changed in the node's tables (role kernel)
//	POST    /v1/end       end now
//	CONNECT HOST:PORT     a new connection from here (role client)
package agent

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/kubestickytop/stickytop/internal/kernel"
)

// Roles of an agent.
const (
	RoleClient = "client" // opens connections from its pod's address
	RoleKernel = "kernel" // reads its node's tables
)

// Token is a run's secret.
type Token string

// NewToken makes one of 256 bits.
func NewToken() Token {
	b := make([]byte, 32)
	_, _ = rand.Read(b) // never fails (Go 1.24)
	return Token(hex.EncodeToString(b))
}

// Digest is what a pod's specification may say of the token: a token of 256
// random bits cannot be found from it.
func (t Token) Digest() string {
	sum := sha256.Sum256([]byte(t))
	return hex.EncodeToString(sum[:])
}

// String hides the token from logs.
func (t Token) String() string { return "(token)" }

// opens reports whether a request carries the token of that digest.
func opens(r *http.Request, digest string) bool {
	token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	return ok && subtle.ConstantTimeCompare([]byte(Token(token).Digest()), []byte(digest)) == 1
}

// Hello is what an agent says of itself.
type Hello struct {
	Version string        `json:"version"`
	Role    string        `json:"role"`
	Pod     string        `json:"pod,omitempty"`
	Node    string        `json:"node,omitempty"`
	Run     string        `json:"run,omitempty"`
	Left    time.Duration `json:"left"`    // of its life
	Silence time.Duration `json:"silence"` // after which it ends
}

// question is the body of /v1/tables. Names are left out while they are those
// of the question before, which ID names.
type question struct {
	ID    string        `json:"id"`
	Names *kernel.Names `json:"names,omitempty"`
	Since uint64        `json:"since"`
}

// answer is what /v1/tables says.
type answer struct {
	Frame kernel.Frame  `json:"frame"`
	Took  time.Duration `json:"took"` // from the question to the answer
}

// Headers of a CONNECT's answer.
const (
	headerRemote = "X-Stickytop-Remote" // that was connected to
	headerLocal  = "X-Stickytop-Local"  // that was connected from
	headerReason = "X-Stickytop-Reason" // why there is no connection: a reason
)

// Reasons of a connection that could not be made.
const (
	reasonRefused   = "refused"
	reasonTimeout   = "timeout"
	reasonDNS       = "dns"
	reasonForbidden = "forbidden" // the agent does not go there
	reasonBusy      = "busy"
	reasonOther     = "other"
)

// Bounds of an agent, whatever it is asked for.
const (
	maxConnections = 32 // to the agent itself, a tunnel is one
	maxPerSecond   = 20 // new tunnels
	maxNames       = 8 << 20
	maxFrame       = 64 << 20
	dialTimeout    = 5 * time.Second
	askTimeout     = 10 * time.Second
)

// ErrToken is what a wrong token gets.
var ErrToken = fmt.Errorf("the agent does not know this token: it belongs to another run")
