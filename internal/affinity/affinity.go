// Package affinity is the pure core of stickytop: which client session is held
// by which pod, how that is known, and until when.
//
// Sources (the cluster, the probes, the demo world) turn what they see into
// Events. A State folds events, one at a time, and hands out Snapshots, which
// are immutable and cheap: unchanged parts are shared between them. The package
// does no I/O, starts no goroutine and reads no clock; every function that
// depends on the time takes it as a parameter.
//
// Names follow Gateway API GEP-1619 (session persistence, Mechanism, absolute
// and idle timeouts), Kubernetes (Service, EndpointSlice conditions) and
// RFC 6265 (cookies).
package affinity

import "strings"

// RouteID identifies a Route: "namespace/ingress host path". It is unique
// within one State and stable across edits that keep those four.
type RouteID string

// SessionID identifies a synthetic client within one run: "s01".
type SessionID string

// ServiceRef names a Service.
type ServiceRef struct {
	Namespace string
	Name      string
}

func (r ServiceRef) String() string {
	if r.Namespace == "" { // of a file that names none
		return r.Name
	}
	return r.Namespace + "/" + r.Name
}

// PodRef names a pod. Namespace is empty for a pod that is known only because
// a response named it (a run without a cluster).
type PodRef struct {
	Namespace string
	Name      string
}

// IsZero reports whether no pod is named.
func (r PodRef) IsZero() bool { return r.Name == "" }

func (r PodRef) String() string {
	if r.Namespace == "" {
		return r.Name
	}
	return r.Namespace + "/" + r.Name
}

// Short returns the last dash-separated part of the pod's name, which for
// pods of a ReplicaSet is the part that tells them apart.
func (r PodRef) Short() string {
	if i := strings.LastIndexByte(r.Name, '-'); i >= 0 && i < len(r.Name)-1 {
		return r.Name[i+1:]
	}
	return r.Name
}
