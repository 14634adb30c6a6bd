package agent

import (
	"context"
	"os"
	"strings"

	authv1 "k8s.io/api/authentication/v1"
	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// serviceAccount returns the files of a container's service account, when it mounts one: a token bound to the
// pod, as the kubelet asks for it, the cluster's certificate authority and the namespace.
func (a *Agent) serviceAccount(ctx context.Context, pod *v1.Pod, c *v1.Container) (map[string]string, error) {
	mounted := false
	for _, m := range c.VolumeMounts {
		mounted = mounted || strings.HasSuffix(m.MountPath, "/secrets/kubernetes.io/serviceaccount")
	}
	if !mounted {
		return nil, nil
	}
	seconds := int64(24 * 3600)
	request := &authv1.TokenRequest{Spec: authv1.TokenRequestSpec{
		ExpirationSeconds: &seconds,
		BoundObjectRef:    &authv1.BoundObjectReference{Kind: "Pod", APIVersion: "v1", Name: pod.Name, UID: pod.UID},
	}}
	answer, err := a.client.CoreV1().ServiceAccounts(pod.Namespace).CreateToken(ctx, pod.Spec.ServiceAccountName, request, metav1.CreateOptions{})
	if err != nil {
		return nil, err
	}
	ca, err := os.ReadFile(a.spec.Path("pki", "ca.crt"))
	if err != nil {
		return nil, err
	}
	return map[string]string{"token": answer.Status.Token, "ca.crt": string(ca), "namespace": pod.Namespace}, nil
}
