package main

import (
	"errors"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/kubestickytop/stickytop/internal/kube"
)

// mistake keeps the errors of a look-up that mean the user asked for something
// that is not there, or is not let in. An API server that is away is no
// mistake: the screen shows it as a state, and goes on when it is back.
func mistake(err error) error {
	var p *kube.Problem
	if errors.As(err, &p) && (p.Err == nil || apierrors.IsNotFound(p.Err) || apierrors.IsUnauthorized(p.Err)) {
		return err
	}
	return nil
}
