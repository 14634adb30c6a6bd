package ingress

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/kubestickytop/stickytop/internal/affinity"
)

// awsALB is the AWS Load Balancer Controller. Attributes of the target group
// are an annotation of the Service or of the Ingress.
// [kubernetes-sigs/aws-load-balancer-controller docs/guide/ingress/annotations.md;
// AWS documentation, "Sticky sessions for your Application Load Balancer"]
type awsALB struct{}

const (
	awsKey    = "aws-alb"
	awsPrefix = "alb.ingress.kubernetes.io/"

	// awsDefaultStickiness is AWS' default of lb_cookie.duration_seconds and of
	// app_cookie.duration_seconds: one day, of 1 s to 7 days.
	// [AWS provider of Pulumi, lb.TargetGroupStickiness: "the default value is 1
	// day (86400 seconds)", of lb_cookie]
	awsDefaultStickiness = 86400
)

func (awsALB) Key() string                   { return awsKey }
func (awsALB) Claims(controller string) bool { return controller == "ingress.k8s.aws/alb" }
func (awsALB) KnownAs(class string) bool     { return class == "alb" }
func (awsALB) Owns(annotation string) bool   { return strings.HasPrefix(annotation, awsPrefix) }

func (a awsALB) Read(w *World, places []*Place) []Reading {
	readings := make([]Reading, len(places))
	for i, p := range places {
		readings[i] = a.read(w, p)
	}
	return readings
}

func (awsALB) read(w *World, p *Place) Reading {
	r := Reading{Policy: affinity.Policy{Controller: awsKey, Why: "stickiness.enabled is not true in " + awsPrefix + "target-group-attributes"}}
	get := func(name string) (string, string) { return layered(p, []string{awsPrefix}, name, true) }
	if p.Service == nil && w.servicesUnread {
		r.Notes = append(r.Notes, "Services can't be read, and their annotations come before the Ingress'")
	}
	if kind, at := get("target-type"); kind != "ip" {
		r.Upstream, r.Setting = UpstreamNodePort, "target-type instance"
		if at == "" {
			r.Setting = "target-type is not set, which is instance unless the controller's --default-target-type says ip"
		}
	}
	text, at := get("target-group-attributes")
	attributes := map[string]string{}
	for part := range strings.SplitSeq(text, ",") {
		if key, value, ok := strings.Cut(strings.TrimSpace(part), "="); ok {
			attributes[key] = value
		}
	}
	if attributes["stickiness.enabled"] == "true" {
		r.Policy = awsPolicy(attributes)
		r.Policy.Why = "annotation " + at
	}
	for key := range p.Ingress.Annotations {
		if strings.HasPrefix(key, awsPrefix+"actions.") && strings.Contains(p.Ingress.Annotations[key], "targetGroupStickinessConfig") {
			r.Notes = append(r.Notes, "a weighted action has a targetGroupStickinessConfig, which is not read: its cookie AWSALBTG holds a target group, not a pod")
			break
		}
	}
	return r
}

func awsPolicy(attributes map[string]string) affinity.Policy {
	kind := orElse(attributes["stickiness.type"], "lb_cookie")
	p := affinity.Policy{Mechanism: affinity.MechanismCookie, Controller: awsKey, Mode: kind, Timeout: awsDefaultStickiness * time.Second}
	text, said := attributes["stickiness."+kind+".duration_seconds"]
	if n, err := strconv.Atoi(text); err == nil && n > 0 {
		p.Timeout = seconds(int64(n))
	} else if said {
		p.Notes = append(p.Notes, fmt.Sprintf("duration_seconds %s is no number of seconds", quote(text)))
	}
	switch kind {
	case "lb_cookie":
		p.Cookie = affinity.CookieSpec{Name: "AWSALB", Path: "/", FlagsUnknown: true}
		p.Renewal = affinity.RenewalSliding
		p.Notes = append(p.Notes, "the duration is inside the encrypted cookie and starts again with every response; the cookie's own Expires is 7 days (as AWS documents it)")
	case "app_cookie":
		p.Cookie = affinity.CookieSpec{Name: "AWSALBAPP-0", Path: "/", FlagsUnknown: true}
		p.Notes = append(p.Notes, fmt.Sprintf("it lives with the application's cookie %s; the load balancer's are AWSALBAPP-0 and on", quote(attributes["stickiness.app_cookie.cookie_name"])))
	default:
		return affinity.Policy{Mechanism: affinity.MechanismUnknown, Controller: awsKey, Mode: affinity.Clean(kind, 40),
			Notes: []string{fmt.Sprintf("stickiness.type %s is not known for an Application Load Balancer", quote(kind))}}
	}
	p.Notes = append(p.Notes, "AWS encrypts the cookie: which pod it means is in the load balancer's access log only")
	return p
}
