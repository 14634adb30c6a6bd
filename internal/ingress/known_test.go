package ingress

import (
	"strings"
	"testing"
)

// trueAnnotations are all that the controllers document, by prefix; sources as
// those of AffinityAnnotations.
var trueAnnotations = map[string]string{
	"haproxy.org/": `auth-type auth-secret auth-realm blacklist deny-list check check-http check-interval cors-enable cors-allow-origin cors-allow-methods
		cors-allow-credentials cors-allow-headers cors-max-age backend-config-snippet cookie-persistence cookie-persistence-no-dynamic src-ip-header forwarded-for
		load-balance path-rewrite pod-maxconn rate-limit-period rate-limit-status-code rate-limit-requests rate-limit-size rate-limit-whitelist request-capture
		request-capture-len request-set-header request-redirect request-redirect-code response-set-header route-acl send-proxy-protocol server-ca server-crt server-proto
		server-ssl set-host scale-server-slots ssl-passthrough ssl-redirect ssl-redirect-code ssl-redirect-port standalone-backend timeout-check timeout-server
		timeout-server-fin whitelist allow-list cr-backend`,
	"haproxy-ingress.github.io/": `app-root auth-tls-error-page auth-tls-secret auth-tls-strict auth-tls-verify-client cert-signer redirect-from redirect-from-regex server-alias
		server-alias-regex ssl-ciphers ssl-cipher-suites ssl-options-host ssl-passthrough ssl-passthrough-http-port tls-alpn var-namespace affinity agent-check-addr
		agent-check-interval agent-check-port agent-check-send allowlist-source-range auth-headers auth-realm auth-secret auth-signin auth-tls-cert-header auth-url
		backend-check-interval backend-protocol backend-server-naming backend-server-slots-increment balance-algorithm blue-green-balance blue-green-cookie blue-green-deploy
		blue-green-header blue-green-mode config-backend cors-allow-credentials cors-allow-headers cors-allow-methods cors-allow-origin cors-enable cors-expose-headers
		cors-max-age denylist-source-range dynamic-scaling headers health-check-addr health-check-fall-count health-check-interval health-check-port health-check-rise-count
		health-check-uri hsts hsts-include-subdomains hsts-max-age hsts-preload initial-weight limit-connections limit-rps limit-whitelist maxconn-server maxqueue-server
		oauth oauth-headers oauth-uri-prefix path-type proxy-body-size proxy-protocol redirect-to rewrite-target slots-min-free secure-backends secure-crt-secret secure-sni
		secure-verify-ca-secret secure-verify-hostname service-upstream session-cookie-domain session-cookie-dynamic session-cookie-keywords session-cookie-name
		session-cookie-preserve session-cookie-same-site session-cookie-shared session-cookie-strategy session-cookie-value-strategy ssl-cipher-suites-backend
		ssl-ciphers-backend ssl-fingerprint-lower ssl-options-backend ssl-redirect timeout-connect timeout-http-request timeout-keep-alive timeout-queue timeout-server
		timeout-server-fin timeout-tunnel use-resolver waf waf-mode whitelist-source-range drain-support drain-support-redispatch`,
	"nginx.org/": `rewrites ssl-services grpc-services websocket-services use-cluster-ip path-regex rewrite-target ssl-ciphers ssl-prefer-server-ciphers ssl-redirect
		http-redirect-code proxy-next-upstream proxy-next-upstream-timeout proxy-next-upstream-tries redirect-to-https basic-auth-secret proxy-hide-headers proxy-pass-headers
		proxy-set-headers hsts hsts-max-age hsts-include-subdomains hsts-behind-proxy server-tokens listen-ports listen-ports-ssl server-snippets app-root
		proxy-connect-timeout proxy-read-timeout proxy-send-timeout client-max-body-size client-body-buffer-size proxy-buffering proxy-buffers proxy-buffer-size
		proxy-busy-buffers-size proxy-max-temp-file-size upstream-zone-size location-snippets lb-method keepalive max-fails max-conns fail-timeout limit-req-rate limit-req-key
		limit-req-zone-size limit-req-delay limit-req-no-delay limit-req-burst limit-req-dry-run limit-req-log-level limit-req-reject-code limit-req-scale sticky-cookie-services
		mergeable-ingress-type`,
	"nginx.com/":                   `sticky-cookie-services health-checks health-checks-mandatory health-checks-mandatory-queue slow-start jwt-key jwt-realm jwt-token jwt-login-url`,
	"haproxy.router.openshift.io/": `balance disable_cookies ip_whitelist ip_allowlist hsts_header timeout timeout-tunnel rewrite-target pod-concurrent-connections rate-limit-connections rate-limit-connections.concurrent-tcp rate-limit-connections.rate-http rate-limit-connections.rate-tcp set-forwarded-headers h1-adjust-case log-send-hostname`,
	"router.openshift.io/":         `cookie_name cookie-same-site haproxy.health.check.interval`,
	"konghq.com/":                  `override plugins protocol protocols client-cert strip-path path https-redirect-status-code preserve-host regex-priority host-header methods snis request-buffering response-buffering host-aliases regex-prefix connect-timeout write-timeout read-timeout retries headers headers-separator path-handling tags rewrite upstream-policy tls-verify tls-verify-depth ca-certificates-secrets service-upstream`,
	"alb.ingress.kubernetes.io/":   `load-balancer-name group.name group.order tags ip-address-type scheme subnets customer-owned-ipv4-pool load-balancer-attributes wafv2-acl-arn waf-acl-id web-acl-id security-groups listen-ports ssl-redirect inbound-cidrs certificate-arn ssl-policy target-type backend-protocol backend-protocol-version target-group-attributes healthcheck-port healthcheck-protocol healthcheck-path success-codes auth-type auth-scope target-node-labels multi-cluster-target-group target-control-port`,
	"service.beta.kubernetes.io/":  `aws-load-balancer-type aws-load-balancer-nlb-target-type aws-load-balancer-name aws-load-balancer-attributes aws-load-balancer-target-group-attributes aws-load-balancer-listener-attributes aws-load-balancer-proxy-protocol aws-load-balancer-target-node-labels`,
	"cloud.google.com/":            `app-protocols neg neg-status backend-config network-tier l4-rbs load-balancer-type`,
	"traefik.ingress.kubernetes.io/": `service.passhostheader service.serversscheme service.serverstransport service.nativelb service.nodeportlb service.sticky service.sticky.cookie
		service.sticky.cookie.name service.sticky.cookie.secure service.sticky.cookie.httponly service.sticky.cookie.samesite service.sticky.cookie.maxage service.sticky.cookie.path
		service.sticky.cookie.domain service.Sticky.Cookie.MaxAge router.entrypoints router.middlewares router.priority router.pathmatcher router.tls router.tls.certresolver`,
	"appgw.ingress.kubernetes.io/": `backend-path-prefix ssl-redirect connection-draining connection-draining-timeout cookie-based-affinity cookie-based-affinity-distinct-name request-timeout use-private-ip backend-protocol health-probe-path`,
	"zalando.org/":                 `skipper-filter skipper-predicate skipper-routes skipper-ingress-redirect skipper-ingress-redirect-code skipper-loadbalancer skipper-ingress-path-mode skipper-backend-protocol backend-weights ratelimit`,
}

// TestTrueAnnotations wants no true annotation taken for a slip.
func TestTrueAnnotations(t *testing.T) {
	for prefix, names := range trueAnnotations {
		found := false
		for _, k := range AffinityAnnotations {
			if k.Prefix != prefix {
				continue
			}
			found = true
			for _, name := range strings.Fields(names) {
				if meant := k.Meant(prefix + name); meant != "" {
					t.Errorf("%s%s is taken for %s", prefix, name, meant)
				}
			}
			for _, name := range k.Affinity {
				if !strings.Contains(" "+strings.Join(strings.Fields(names), " ")+" ", " "+name+" ") {
					t.Errorf("%s%s is no annotation of %s", prefix, name, k.Controller)
				}
			}
		}
		if !found {
			t.Errorf("nothing is known under %s", prefix)
		}
	}
}

// TestMeant wants slips told, of each controller.
func TestMeant(t *testing.T) {
	for key, want := range map[string]string{
		"haproxy.org/cookies-persistence":                                     "haproxy.org/cookie-persistence",
		"haproxy.org/cookie-persistence-nodynamic":                            "haproxy.org/cookie-persistence-no-dynamic",
		"haproxy-ingress.github.io/session-cookie-keyword":                    "haproxy-ingress.github.io/session-cookie-keywords",
		"haproxy-ingress.github.io/afinity":                                   "haproxy-ingress.github.io/affinity",
		"haproxy-ingress.github.io/session-cookie-samesite":                   "haproxy-ingress.github.io/session-cookie-same-site",
		"nginx.org/sticky-cookies-services":                                   "nginx.org/sticky-cookie-services",
		"nginx.org/sticky-cookie-service":                                     "nginx.org/sticky-cookie-services",
		"nginx.com/lb-method":                                                 "nginx.org/lb-method",
		"router.openshift.io/cookie-name":                                     "router.openshift.io/cookie_name",
		"haproxy.router.openshift.io/cookie_name":                             "router.openshift.io/cookie_name",
		"haproxy.router.openshift.io/disable-cookies":                         "haproxy.router.openshift.io/disable_cookies",
		"konghq.com/upstream-polices":                                         "konghq.com/upstream-policy",
		"alb.ingress.kubernetes.io/target-group-attribute":                    "alb.ingress.kubernetes.io/target-group-attributes",
		"service.beta.kubernetes.io/aws-load-balancer-target-group-attribute": "service.beta.kubernetes.io/aws-load-balancer-target-group-attributes",
		"cloud.google.com/backendconfig":                                      "cloud.google.com/backend-config",
		"traefik.ingress.kubernetes.io/services.sticky.cookie":                "traefik.ingress.kubernetes.io/service.sticky.cookie",
		"traefik.ingress.kubernetes.io/service.sticky.cookies":                "traefik.ingress.kubernetes.io/service.sticky.cookie",
		"traefik.ingress.kubernetes.io/affinity":                              "traefik.ingress.kubernetes.io/service.sticky.cookie",
		"appgw.ingress.kubernetes.io/cookie-based-afinity":                    "appgw.ingress.kubernetes.io/cookie-based-affinity",
		"zalando.org/skipper-load-balancer":                                   "zalando.org/skipper-loadbalancer",
	} {
		got := ""
		for _, k := range AffinityAnnotations {
			if meant := k.Meant(key); meant != "" {
				got = meant
				break
			}
		}
		if got != want {
			t.Errorf("%s: %q, want %q", key, got, want)
		}
	}
}
