package ingress

import (
	"time"

	"github.com/kubestickytop/stickytop/internal/affinity"
)

// nginxStickyPolicy is nginx's `sticky cookie NAME`, of NGINX Plus and of open
// source since 1.29.6. It is written on every response, so that `expires`
// slides; without path, clients take that of the request.
// [nginx src/http/modules/ngx_http_upstream_sticky_module.c; as recorded]
func nginxStickyPolicy(controller, name string) affinity.Policy {
	return affinity.Policy{
		Mechanism: affinity.MechanismCookie, Controller: controller, Renewal: affinity.RenewalSession, Decoder: newNginxSticky(),
		Cookie: affinity.CookieSpec{Name: name},
	}
}

func slidingAge(p *affinity.Policy, d time.Duration) {
	p.Timeout, p.Renewal = d, affinity.RenewalSliding
	p.Cookie.MaxAge, p.Cookie.HasAge = d, true
}
