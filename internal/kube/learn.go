package kube

import (
	"github.com/kubestickytop/stickytop/internal/findings"
	"github.com/kubestickytop/stickytop/internal/ingress"
)

// Learn takes over what a survey read that routes depend on and that is not
// worth a watch: ingress-nginx's own ConfigMap. It does not block.
func (s *Source) Learn(f findings.Facts) {
	read := f.Configured()
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

// configured builds the routes again where a controller's configuration has
// changed.
func (w *world) configured(c ingress.NginxConfig) {
	w.stale = w.stale || c != w.nginxConfig
	w.nginxConfig = c
}
