package ingress

import "fmt"

// nginxHost is what one server of ingress-nginx does with TLS that it does not
// end itself. The oldest Ingress that names the host decides, and the Service of
// the path "/" gets the connections, on its ClusterIP.
// [controller.go createServers, getConfiguration; nginx.go OnUpdate]
type nginxHost struct {
	seen        bool
	passthrough *Ingress // whose annotation it is; nil for none
}

// serve notes the host of a place that is no canary's. The catch-all server is
// there before any Ingress, and passes nothing through.
func (m *nginxMerge) serve(p *Place) {
	h := m.servers[p.Host]
	if p.Host == "" || p.Default || h.seen {
		return
	}
	h.seen = true
	if isTrue(p.Ingress.Annotations[nginxPrefix+"ssl-passthrough"]) {
		h.passthrough = p.Ingress
	}
	m.servers[p.Host] = h
}

// passthrough tells where TLS for a place's host may go: into the reading, if
// the place's own Service is where, and into the route's notes.
func (m *nginxMerge) passthrough(p *Place, r *Reading) {
	from := m.servers[p.Host].passthrough
	if from == nil || p.Default {
		if from == nil && p.Host != "" && isTrue(p.Ingress.Annotations[nginxPrefix+"ssl-passthrough"]) && !m.parsed[p.Ingress].Canary {
			r.Notes = append(r.Notes, "ssl-passthrough is ignored: an older Ingress has this host, and does not say so")
		}
		return
	}
	root := m.rootOf(p.Host)
	if root == nil {
		r.Notes = append(r.Notes, fmt.Sprintf("ssl-passthrough of %s goes nowhere: no path of the host is \"/\"", objectOf(from)))
		return
	}
	r.Notes = append(r.Notes, fmt.Sprintf("ssl-passthrough: where the controller runs with --enable-ssl-passthrough, TLS for this host goes unread to the ClusterIP of %s, whatever the path, and no cookie is set", root.ref()))
	if p.TLS {
		r.Policy.TurnOn = "" // it would set none here
	}
	if p.TLS && r.Upstream == UpstreamPods && root.ref() == p.ref() && (p.Service == nil || hasVIP(p.Service)) {
		r.Upstream, r.Setting = UpstreamPassthrough, "ssl-passthrough"
	}
}

// rootOf is the place that has the path "/" of a host.
func (m *nginxMerge) rootOf(host string) *Place {
	for _, l := range m.locations[host] {
		if l.key.path == "/" {
			return l.place
		}
	}
	return nil
}
