package kube

import (
	"github.com/kubestickytop/stickytop/internal/findings"
	"github.com/kubestickytop/stickytop/internal/ingress"
)

// Learn takes over what a survey read that routes depend on and that is not
// worth a watch: ingress-nginx's own ConfigMap, and which controller runs. It
// does not block.
func (s *Source) Learn(f findings.Facts) {
	read := learned{f.Configured(), f.Running()}
	for { // the newest alone counts
		select {
		case s.learned <- read:
			return
		default:
		}
		select {
		case <-s.learned:
		default:
		}
	}
}

// learned is what routes take from a survey.
type learned struct {
	nginxConfig ingress.NginxConfig
	running     ingress.Running
}

// learn builds the routes again where that has changed.
func (w *world) learn(l learned) {
	w.stale = w.stale || l != w.learned
	w.learned = l
}
