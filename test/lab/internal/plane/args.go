package plane

import (
	"fmt"
	"os"
	"strings"

	"github.com/kubestickytop/stickytop/test/lab/internal/layout"
)

func (p *Plane) etcdArgs() []string {
	return []string{
		"--data-dir=" + p.Spec.Path("etcd"), "--unsafe-no-fsync", "--log-level=error",
		"--listen-client-urls=" + EtcdURL, "--advertise-client-urls=" + EtcdURL,
		"--listen-peer-urls=http://127.0.0.1:2380",
	}
}

func (p *Plane) apiArgs() []string {
	pki := func(name string) string { return p.Spec.Path("pki", name) }
	return []string{
		"--etcd-servers=" + EtcdURL,
		fmt.Sprintf("--secure-port=%d", layout.APIPort), "--bind-address=0.0.0.0", "--advertise-address=" + layout.ControlIP,
		"--tls-cert-file=" + pki("apiserver.crt"), "--tls-private-key-file=" + pki("apiserver.key"),
		"--client-ca-file=" + pki("ca.crt"),
		"--authentication-token-webhook-config-file=" + p.Spec.Kubeconfig("review"),
		"--authentication-token-webhook-version=v1", "--authentication-token-webhook-cache-ttl=0s",
		"--authorization-mode=Node,RBAC", "--enable-admission-plugins=NodeRestriction", "--allow-privileged=true",
		"--kubelet-certificate-authority=" + pki("ca.crt"), "--kubelet-preferred-address-types=InternalIP",
		"--kubelet-client-certificate=" + pki("kubelet-client.crt"), "--kubelet-client-key=" + pki("kubelet-client.key"),
		"--service-cluster-ip-range=" + layout.ServiceCIDR,
		"--service-account-issuer=https://kubernetes.default.svc",
		"--service-account-signing-key-file=" + pki("sa.key"), "--service-account-key-file=" + pki("sa.pub"),
	}
}

// controllers are those that a plain cluster of Deployments and StatefulSets needs. The rest needs things the
// lab has not (volumes, clouds, certificate requests).
var controllers = []string{
	"endpointslice-controller", "endpointslice-mirroring-controller", "endpoints-controller",
	"deployment-controller", "replicaset-controller", "statefulset-controller", "daemonset-controller", "job-controller", "ttl-after-finished-controller",
	"serviceaccount-controller", "serviceaccount-token-controller", "root-ca-certificate-publisher-controller",
	"garbage-collector-controller", "namespace-controller", "pod-garbage-collector-controller",
	"horizontal-pod-autoscaler-controller", "disruption-controller", "node-lifecycle-controller",
}

func (p *Plane) managerArgs() []string {
	return []string{
		"--kubeconfig=" + p.Spec.Kubeconfig("managers"), "--leader-elect=false", "--bind-address=127.0.0.1",
		"--service-account-private-key-file=" + p.Spec.Path("pki", "sa.key"),
		"--root-ca-file=" + p.Spec.Path("pki", "ca.crt"), "--cluster-cidr=" + layout.PodCIDR,
		"--controllers=" + strings.Join(controllers, ","),
	}
}

// proxyConfig is kube-proxy's. Its conntrack limits stay as they are: a network namespace may not change them.
const proxyConfig = `apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
mode: %s
clientConnection: {kubeconfig: %s}
clusterCIDR: %s
hostnameOverride: %s
conntrack: {maxPerCore: 0, min: 0, tcpEstablishedTimeout: 0s, tcpCloseWaitTimeout: 0s}
`

func (p *Plane) addProxy(i int) error {
	node := layout.NodeName(i)
	path := p.Spec.Path("kube-proxy-" + node + ".yaml")
	config := fmt.Sprintf(proxyConfig, p.Spec.ProxyOf(i), p.Spec.Kubeconfig("proxy"), layout.PodCIDR, node)
	if err := os.WriteFile(path, []byte(config), 0o600); err != nil {
		return err
	}
	p.Proxies = append(p.Proxies, p.process("kube-proxy", node, []string{"--config=" + path}))
	return nil
}
