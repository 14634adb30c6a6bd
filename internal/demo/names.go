package demo

import (
	"fmt"
	"math/rand/v2"
)

// alphabet is what Kubernetes makes generated names of
// (k8s.io/apimachinery/pkg/util/rand): no vowels, no words.
const alphabet = "bcdfghjklmnpqrstvwxz2456789"

const nodes = 3

// names makes up names and addresses. The same seed makes the same ones in the
// same order.
type names struct {
	random *rand.Rand
	placed int
	taken  map[string]bool
}

func newNames(seed uint64) *names {
	return &names{random: rand.New(rand.NewPCG(seed, 0x706f6473)), taken: map[string]bool{}}
}

func (n *names) suffix(length int) string {
	b := make([]byte, length)
	for i := range b {
		b[i] = alphabet[n.random.IntN(len(alphabet))]
	}
	return string(b)
}

// place returns a node, in turn, and a free address of its pod network.
func (n *names) place() (node, ip string) {
	i := n.placed%nodes + 1
	n.placed++
	for {
		ip = fmt.Sprintf("10.244.%d.%d", i, 2+n.random.IntN(250))
		if !n.taken[ip] || len(n.taken) > nodes*200 { // never again: a pod's address is its identity in a cookie
			n.taken[ip] = true
			return nodeName(i), ip
		}
	}
}

func nodeName(i int) string { return fmt.Sprintf("worker-%d", i) }
