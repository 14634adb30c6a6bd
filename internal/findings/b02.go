package findings

import (
	"fmt"
	"strings"

	"github.com/kubestickytop/stickytop/internal/affinity"
)

var b02 = Rule{
	ID: "B02", Title: "The cookie's Path does not cover all paths of the app", Severity: affinity.SeverityCritical,
	What:    "A browser returns a cookie only below its Path (RFC 6265, section 5.1.4). Without session-cookie-path each path of an Ingress issues a cookie of its own, with one name and different Paths.",
	Impact:  "requests to one path bring another cookie, or none, than requests to the other: two pods for one client",
	Fix:     "set session-cookie-path to what all paths of the app have in common",
	Verify:  "stickytop get sessions {obj} --for 30s: all routes of the app are STUCK to one pod for each client",
	Sources: []string{"RFC 6265 section 5.1.4", "kubernetes/ingress-nginx#4208", "kubernetes/ingress-nginx#14042", "envoyproxy/envoy#10468"},
	Shown:   "a session's affinity cookie is not sent back because of its Path, and a later request is refused with code 1 by another pod.",
	check: func(c *check) {
		byApp := map[string][]*route{}
		var apps []string // as they come: of an object with several hosts the first is told
		for _, r := range c.stickyRoutes("") {
			k := r.Namespace + " " + r.Host + " " + r.Backend.Service.Name
			if len(byApp[k]) == 0 {
				apps = append(apps, k)
			}
			byApp[k] = append(byApp[k], r)
		}
		for _, app := range apps {
			all := byApp[app]
			paths, rooted := pathsOf(all)
			seen := map[seenKey]bool{}
			for _, r := range all {
				cookie := r.policy.Cookie.Path
				if borrowed(r) {
					continue // it issues none; A05
				}
				if seen[seenKey{r.object, cookie}] || cookie == "" || cookie == "/" && rooted || strings.ContainsAny(cookie, patternChars) {
					continue
				}
				seen[seenKey{r.object, cookie}] = true
				told := 0
				for _, s := range paths {
					if pathMatch(rootIfEmpty(s.Path), cookie) {
						continue
					}
					if told++; told > maxUncovered {
						c.cut(fmt.Sprintf("the cookie's Path %s does not cover more than %d paths of %s: the others are not told", cookie, maxUncovered, r.Backend.Service))
						break
					}
					h := hit{title: fmt.Sprintf("Path=%s does not cover %s", affinity.Clean(r.policy.Cookie.Path, 50), affinity.Clean(rootIfEmpty(s.Path), 50)), route: r.ID,
						evidence: []affinity.FindingEvidence{r.setting("session-cookie-path"),
							{Object: s.object.ObjectRef, Field: "spec.rules[].http.paths[].path", Value: s.Path, Source: "object"}}}
					h.patch = c.cookieEdit(r, flagPath, "/")
					c.hit(r.object, h)
				}
			}
		}
	},
}

// maxUncovered bounds the paths told of one cookie: an app may have thousands.
const maxUncovered = 64

const patternChars = `[](){}^$*+?|\`

// pathsOf are the first routes of each path that is no pattern, and whether all
// of them begin at the root.
func pathsOf(all []*route) (first []*route, rooted bool) {
	rooted = true
	seen := make(map[string]bool, len(all))
	for _, r := range all {
		if seen[r.Path] || strings.ContainsAny(r.Path, patternChars) {
			continue
		}
		seen[r.Path] = true
		first = append(first, r)
		rooted = rooted && strings.HasPrefix(rootIfEmpty(r.Path), "/")
	}
	return first, rooted
}

// pathMatch is that of RFC 6265, section 5.1.4.
func pathMatch(request, cookie string) bool {
	rest, ok := strings.CutPrefix(request, cookie)
	return ok && (rest == "" || strings.HasSuffix(cookie, "/") || rest[0] == '/')
}
