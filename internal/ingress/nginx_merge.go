package ingress

import (
	"slices"

	"github.com/kubestickytop/stickytop/internal/affinity"
)

// nginxBackend is the one upstream that every path with the same
// namespace-service-port shares.
type nginxBackend struct {
	name     string
	first    *Ingress // that made it, and decides what it connects to
	noServer bool     // made by a canary: it serves no path of its own
	deleted  bool     // a canary without a primary
	conf     nginxAffinity
	from     *Ingress // that type and mode are from
	cookie   *Ingress // that the cookie's fields are from
	issues   map[hostPath]bool
	canaries []nginxCanary // backends that take a share, in order; only the first does
	primary  *nginxBackend // that it takes a share of, as a canary; nil when none
	legacy   bool          // and without taking its affinity
}

type nginxCanary struct {
	backend *nginxBackend
	place   *Place
	legacy  bool
}

type hostPath struct{ host, path string }

type nginxLocation struct {
	key     placeKey
	backend *nginxBackend
	place   *Place
}

// nginxMerge is what the controller makes of all Ingresses of a class:
// getBackendServers and mergeAlternativeBackends of controller.go.
type nginxMerge struct {
	parsed    map[*Ingress]nginxAffinity
	backends  map[string]*nginxBackend
	names     []string
	locations map[string][]nginxLocation // by host, in order
	hosts     map[string]bool            // that have a server
	servers   map[string]nginxHost
	primaries map[*Place]*Place // that canaries share host, path and type with
}

// mergeNginx takes the places in the order of their Ingresses' creation.
func mergeNginx(places []*Place) *nginxMerge {
	m := &nginxMerge{parsed: map[*Ingress]nginxAffinity{}, backends: map[string]*nginxBackend{},
		locations: map[string][]nginxLocation{}, hosts: map[string]bool{"": true}, servers: map[string]nginxHost{}, primaries: map[*Place]*Place{}}
	plain := false
	for _, p := range places {
		if _, ok := m.parsed[p.Ingress]; !ok {
			m.parsed[p.Ingress] = parseNginx(p.Ingress.Annotations)
		}
		if !m.parsed[p.Ingress].Canary {
			plain, m.hosts[p.Host] = true, true
			m.serve(p)
		}
		if name := nginxBackendName(p); m.backends[name] == nil {
			m.backends[name] = &nginxBackend{name: name, first: p.Ingress, noServer: m.parsed[p.Ingress].Canary, issues: map[hostPath]bool{}}
			m.names = append(m.names, name)
		}
	}
	for _, p := range places {
		if b := m.backend(p); !p.Default && !b.noServer {
			m.locate(p, b)
			b.take(p, m.parsed[p.Ingress])
		}
	}
	for _, p := range places {
		if plain && !p.Default && m.parsed[p.Ingress].Canary && !m.backend(p).deleted {
			m.pair(p, m.backend(p))
		}
	}
	return m
}

func (m *nginxMerge) backend(p *Place) *nginxBackend { return m.backends[nginxBackendName(p)] }

// locate gives the place to its backend unless an older one has it. The root
// is the first location of every server; of others with one path, only the
// first is compared.
func (m *nginxMerge) locate(p *Place, b *nginxBackend) {
	host, key := p.Host, p.key()
	if !m.hosts[host] {
		host = ""
	}
	all := m.locations[host]
	i := slices.IndexFunc(all, func(l nginxLocation) bool { return l.key.path == key.path })
	location := nginxLocation{key, b, p}
	switch root := key.path == "/"; {
	case root && key.kind != "Prefix", i < 0 && !root, i >= 0 && all[i].key.kind != key.kind && !root:
		m.locations[host] = append(all, location)
	case root && (i < 0 || all[i].key.kind != "Prefix"):
		m.locations[host] = slices.Insert(all, 0, location)
	}
}

// take folds one place's settings in: type and mode of the first Ingress that
// has them, the cookie's fields of the last with affinity: cookie.
func (b *nginxBackend) take(p *Place, a nginxAffinity) {
	if b.conf.Type == "" && a.Type != "" {
		b.conf.Type, b.from = a.Type, p.Ingress
	}
	if b.conf.Mode == "" {
		b.conf.Mode = a.Mode
	}
	if a.Type == nginxTypeCookie {
		b.conf.Cookie, b.cookie = a.Cookie, p.Ingress
		b.issues[hostPath{p.Host, p.Path}] = true
	}
}

// pair finds the backend whose host, path and type a canary shares, and gives
// the canary's backend that one's affinity. A canary that finds none is
// dropped, with all that uses its backend.
func (m *nginxMerge) pair(p *Place, b *nginxBackend) {
	if !m.hosts[p.Host] {
		return // without effect
	}
	found := false
	for _, l := range m.locations[p.Host] {
		if l.backend == b {
			return // it is a primary of this host itself
		}
		if l.key.path == p.Path && l.key.kind == p.key().kind {
			m.primaries[p] = l.place
			b.follow(l.backend, p, m.parsed[p.Ingress].CanaryBehavior == "legacy")
			found = true
		}
	}
	b.deleted = !found
}

func (b *nginxBackend) follow(primary *nginxBackend, canary *Place, legacy bool) {
	if slices.ContainsFunc(primary.canaries, func(c nginxCanary) bool { return c.backend == b }) {
		return
	}
	primary.canaries = append(primary.canaries, nginxCanary{b, canary, legacy})
	switch {
	case !legacy:
		b.primary, b.legacy = primary, false
		b.conf, b.from, b.cookie, b.issues = primary.conf, primary.from, primary.cookie, primary.issues
	case b.primary == nil:
		b.primary, b.legacy = primary, true
	}
}

// partner is the backend on the other side of a canary pair whose cookies tell
// the sides apart; "" when there is none.
func (b *nginxBackend) partner() string {
	switch {
	case len(b.canaries) > 0:
		if c := b.canaries[0]; !c.legacy && !c.backend.deleted {
			return c.backend.name
		}
	case b.primary != nil && !b.legacy:
		return b.primary.name
	}
	return ""
}

// branches are what else than its own backend a place's requests reach. A backend's
// first canary gets a share on every path of the backend.
// [balancer.lua route_to_alternative_balancer]
func (m *nginxMerge) branches(p *Place, b *nginxBackend, keys backendKeys) []affinity.Branch {
	cookie := func(of *nginxBackend) (affinity.Decoder, string) {
		if b.conf.Type != nginxTypeCookie || of.partner() != b.name { // legacy: no cookie leads there
			return nil, ""
		}
		return nginxDecoder(b.conf.mode(), of.name, b.name, keys, true), b.conf.Cookie.Name
	}
	if len(b.canaries) > 0 && !b.canaries[0].backend.deleted {
		decoder, name := cookie(b.canaries[0].backend)
		return []affinity.Branch{canaryBranch(b.canaries[0].place, decoder, name)}
	}
	if primary := m.primaries[p]; primary != nil && b.primary != nil {
		decoder, name := cookie(m.backend(primary))
		return []affinity.Branch{primaryBranch(primary, decoder, name)}
	}
	return nil
}

// issuedAt reports whether the cookie is set on a place: whether an affinity
// Ingress of the backend has its host and path; a wildcard counts where the
// host itself has no entry. [sticky.lua should_set_cookie]
func (b *nginxBackend) issuedAt(p *Place) bool {
	own, wildcard, exact := false, false, false
	for at := range b.issues {
		own = own || at.host == p.Host
		exact = exact || at == hostPath{p.Host, p.Path}
		wildcard = wildcard || covers(at.host, p.Host) && at.path == p.Path
	}
	return exact || wildcard && !own
}
