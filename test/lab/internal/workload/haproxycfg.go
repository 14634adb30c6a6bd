package workload

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"sort"
	"strings"

	v1 "k8s.io/api/core/v1"
	netv1 "k8s.io/api/networking/v1"
)

// haproxyHead logs every request as one JSON line with the field names of Traefik's access log.
const haproxyHead = `global
  log stdout len 8192 format raw local0 info
  hard-stop-after 5s
defaults
  mode http
  log global
  timeout connect 2s
  timeout client 60s
  timeout server 60s
  timeout tunnel 1h
frontend healthz
  bind :1042
  no log
  monitor-uri /healthz
frontend web
  bind :80
  capture request header Host len 256
  capture request header X-Stickytop-Session len 256
  capture request header X-Request-Id len 256
  capture request header User-Agent len 256
  option forwardfor
  http-request set-var(txn.start) date(0,ms)
  http-request set-var(txn.cookie) str(REDACTED) if { req.fhdr(cookie) -m found }
  log-format '{"StartMS":%[var(txn.start)],"ClientAddr":"%ci:%cp","RequestMethod":"%HM","RequestHost":"%[capture.req.hdr(0),json(utf8s)]","RequestPath":"%[capture.req.uri,json(utf8s)]","DownstreamStatus":%ST,"ServiceAddr":"%si:%sp","ServerName":"%s","BackendName":"%b","request_X-Stickytop-Session":"%[capture.req.hdr(1),json(utf8s)]","request_X-Request-Id":"%[capture.req.hdr(2),json(utf8s)]","request_User-Agent":"%[capture.req.hdr(3),json(utf8s)]","request_Cookie":"%[var(txn.cookie)]"}'
`

// configuration returns haproxy.cfg for those Ingresses.
func (h *haproxy) configuration(ingresses []*netv1.Ingress) []byte {
	sort.Slice(ingresses, func(i, j int) bool { return ingresses[i].Name < ingresses[j].Name })
	var front, back bytes.Buffer
	done := map[string]bool{}
	for _, ingress := range ingresses {
		for _, rule := range ingress.Spec.Rules {
			if rule.HTTP == nil {
				continue
			}
			for _, path := range rule.HTTP.Paths {
				target := path.Backend.Service
				if target == nil {
					continue
				}
				svc, err := h.factory.Core().V1().Services().Lister().Services(ingress.Namespace).Get(target.Name)
				if err != nil {
					continue
				}
				name, port := servicePort(svc, target.Port)
				backend := fmt.Sprintf("%s_svc_%s_%s", ingress.Namespace, target.Name, name)
				fmt.Fprintf(&front, "  use_backend %s if { req.hdr(host),field(1,:) -i %s } { path_beg %s }\n", backend, rule.Host, path.Path)
				if !done[backend] {
					done[backend] = true
					h.backend(&back, backend, ingress, svc, port)
				}
			}
		}
	}
	return slices.Concat([]byte(haproxyHead), front.Bytes(), back.Bytes())
}

// backend writes a backend: its cookie as the annotations want, a server for every slot that holds a pod.
func (h *haproxy) backend(out *bytes.Buffer, backend string, ingress *netv1.Ingress, svc *v1.Service, port string) {
	fmt.Fprintf(out, "backend %s\n  balance roundrobin\n", backend)
	static := false
	if name := annotation(dynamicCookie, svc, ingress); name != "" {
		fmt.Fprintf(out, "  dynamic-cookie-key %s\n  cookie %s insert indirect nocache dynamic\n", dynamicKey, name)
	} else if name := annotation(staticCookie, svc, ingress); name != "" {
		fmt.Fprintf(out, "  cookie %s insert indirect nocache\n", name)
		static = true
	}
	for i, address := range h.servers(svc.Namespace, svc.Name, port, backend) {
		if address == "" {
			continue
		}
		fmt.Fprintf(out, "  server SRV_%d %s check", i+1, address)
		if static {
			fmt.Fprintf(out, " cookie SRV_%d", i+1)
		}
		out.WriteByte('\n')
	}
}

// annotation returns the first word of an annotation, the Service's before the Ingress's.
func annotation(key string, svc *v1.Service, ingress *netv1.Ingress) string {
	for _, from := range []map[string]string{svc.Annotations, ingress.Annotations} {
		if words := strings.Fields(from[key]); len(words) > 0 {
			return words[0]
		}
	}
	return ""
}

// servicePort returns a backend port's name for display, and its name in the Service.
func servicePort(svc *v1.Service, want netv1.ServiceBackendPort) (shown, name string) {
	for _, p := range svc.Spec.Ports {
		if want.Name != "" && p.Name == want.Name || want.Name == "" && p.Port == want.Number {
			if p.Name != "" {
				return p.Name, p.Name
			}
			return fmt.Sprint(p.Port), ""
		}
	}
	return "none", "none"
}

// assign keeps what has a slot already, frees the slots of what is gone, and gives the first free ones to what is new.
func assign(slots []string, ready map[string]bool) []string {
	left := maps.Clone(ready)
	for i, address := range slots {
		if !ready[address] {
			slots[i] = ""
		}
		delete(left, address)
	}
	for _, address := range slices.Sorted(maps.Keys(left)) {
		if free := slices.Index(slots, ""); free >= 0 {
			slots[free] = address
		} else {
			slots = append(slots, address)
		}
	}
	return slots
}
