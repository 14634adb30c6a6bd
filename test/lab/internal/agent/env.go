package agent

import (
	"context"
	"fmt"
	"strings"

	v1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// environment resolves a container's env and envFrom, downward API, config maps and secrets included. Variables of
// the kubernetes Service come first, as the kubelet has it; those of other Services do not come at all.
func (a *Agent) environment(ctx context.Context, pod *v1.Pod, c *v1.Container, ip string) ([]string, error) {
	values := map[string]string{
		"KUBERNETES_SERVICE_HOST": "10.96.0.1", "KUBERNETES_SERVICE_PORT": "443", "KUBERNETES_SERVICE_PORT_HTTPS": "443",
		"HOSTNAME": pod.Name,
	}
	var order []string
	for name := range values {
		order = append(order, name)
	}
	set := func(name, value string) {
		if _, known := values[name]; !known {
			order = append(order, name)
		}
		values[name] = value
	}
	for _, from := range c.EnvFrom {
		data, err := a.envFrom(ctx, pod.Namespace, from)
		if err != nil {
			return nil, err
		}
		for key, value := range data {
			set(from.Prefix+key, value)
		}
	}
	for _, env := range c.Env {
		value := expand(env.Value, values)
		if env.ValueFrom != nil {
			var err error
			if value, err = a.envValue(ctx, pod, env.ValueFrom, ip); err != nil {
				return nil, fmt.Errorf("env %s: %w", env.Name, err)
			}
		}
		set(env.Name, value)
	}
	out := make([]string, 0, len(order))
	for _, name := range order {
		out = append(out, name+"="+values[name])
	}
	return out, nil
}

func (a *Agent) envFrom(ctx context.Context, namespace string, from v1.EnvFromSource) (map[string]string, error) {
	data := map[string]string{}
	if ref := from.ConfigMapRef; ref != nil {
		m, err := a.client.CoreV1().ConfigMaps(namespace).Get(ctx, ref.Name, metav1.GetOptions{})
		if err == nil {
			return m.Data, nil
		}
		if !apierrors.IsNotFound(err) || ref.Optional == nil || !*ref.Optional {
			return nil, err
		}
	}
	if ref := from.SecretRef; ref != nil {
		s, err := a.client.CoreV1().Secrets(namespace).Get(ctx, ref.Name, metav1.GetOptions{})
		if err != nil && (!apierrors.IsNotFound(err) || ref.Optional == nil || !*ref.Optional) {
			return nil, err
		}
		if err == nil {
			for key, value := range s.Data {
				data[key] = string(value)
			}
		}
	}
	return data, nil
}

func (a *Agent) envValue(ctx context.Context, pod *v1.Pod, from *v1.EnvVarSource, ip string) (string, error) {
	switch {
	case from.FieldRef != nil:
		return a.field(pod, from.FieldRef.FieldPath, ip)
	case from.ConfigMapKeyRef != nil:
		ref := from.ConfigMapKeyRef
		m, err := a.client.CoreV1().ConfigMaps(pod.Namespace).Get(ctx, ref.Name, metav1.GetOptions{})
		if err != nil {
			return "", err
		}
		return m.Data[ref.Key], nil
	case from.SecretKeyRef != nil:
		ref := from.SecretKeyRef
		s, err := a.client.CoreV1().Secrets(pod.Namespace).Get(ctx, ref.Name, metav1.GetOptions{})
		if err != nil {
			return "", err
		}
		return string(s.Data[ref.Key]), nil
	}
	return "", fmt.Errorf("the lab's agent resolves fieldRef, configMapKeyRef and secretKeyRef only")
}

// field resolves a downward-API field path.
func (a *Agent) field(pod *v1.Pod, path, ip string) (string, error) {
	switch path {
	case "metadata.name":
		return pod.Name, nil
	case "metadata.namespace":
		return pod.Namespace, nil
	case "metadata.uid":
		return string(pod.UID), nil
	case "spec.nodeName":
		return a.node, nil
	case "spec.serviceAccountName":
		return pod.Spec.ServiceAccountName, nil
	case "status.podIP", "status.podIPs":
		return ip, nil
	case "status.hostIP", "status.hostIPs":
		return a.ip, nil
	}
	if key, ok := subscript(path, "metadata.labels"); ok {
		return pod.Labels[key], nil
	}
	if key, ok := subscript(path, "metadata.annotations"); ok {
		return pod.Annotations[key], nil
	}
	return "", fmt.Errorf("no downward-API field %q", path)
}

// subscript takes the key from a path such as metadata.labels['key'].
func subscript(path, prefix string) (string, bool) {
	rest, ok := strings.CutPrefix(path, prefix+"['")
	if !ok {
		return "", false
	}
	return strings.CutSuffix(rest, "']")
}

// expand replaces $(NAME) by a known variable's value; $$ stands for a dollar sign, and $(NAME) of an unknown one for itself.
func expand(s string, values map[string]string) string {
	var out strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] != '$' || i+1 == len(s) {
			out.WriteByte(s[i])
			continue
		}
		if s[i+1] == '$' {
			out.WriteByte('$')
			i++
			continue
		}
		end := strings.IndexByte(s[i:], ')')
		if s[i+1] != '(' || end < 0 {
			out.WriteByte('$')
			continue
		}
		name := s[i+2 : i+end]
		if value, ok := values[name]; ok {
			out.WriteString(value)
		} else {
			out.WriteString(s[i : i+end+1])
		}
		i += end
	}
	return out.String()
}
