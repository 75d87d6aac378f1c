/* Flags that people have in their k3s units and configuration files and that are none here. */
#include "cli/cli.h"

#define STORE                                                                                               \
	"the store is part of the server, in DIR/db, or with --cluster-init in DIR/etcd, or the etcd that " \
	"--datastore-endpoint names"
#define OWN_FLAGS "these parts are this program, whose flags 'caravel help server' and 'caravel help agent' list"
#define RUNTIME "containerd is the runtime; another one's socket is --container-runtime-endpoint"
#define NOTHING "there is nothing here that it would change: leave it out"
#define NOT_YET "not here yet"

static const struct {
	const char *name; /* a '*' at its end: all that begin so */
	const char *instead;
} k3s_flags[] = {
	{ "agent-token*", "there are no two kinds of tokens: `caravel token create` makes one for machines" },
	{ "alsologtostderr", NOTHING },
	{ "cluster-reset-restore-path",
	  "`caravel snapshot restore FILE --data-dir DIR` comes first, then --cluster-init starts on it" },
	{ "default-runtime", RUNTIME },
	{ "disable-apiserver-lb", "clients choose among the servers by themselves: leave it out" },
	{ "disable-cloud-controller", NOTHING },
	{ "disable-helm-controller", NOTHING },
	{ "docker", RUNTIME "; images of docker come in by `docker save` and `caravel image import`" },
	{ "embedded-registry", NOT_YET ": `caravel image import` puts images on nodes" },
	{ "etcd-s3-bucket-lookup-type", "buckets are part of the path, which all services know: leave it out" },
	{ "etcd-s3-config-secret", NOT_YET ": flags, the configuration file or the environment say it" },
	{ "etcd-s3-proxy", "the environment variable https_proxy says it" },
	{ "etcd-s3-retention", "--snapshot-retention counts for both" },
	{ "etcd-snapshot-compress", "snapshots are always compressed: leave it out" },
	{ "etcd-snapshot-reconcile-interval", NOTHING },
	{ "etcd-*", STORE },
	{ "flannel-conf",
	  "the pods' network is built in: --flannel-backend, --cluster-cidr and --flannel-iface say what such a "
	  "file would" },
	{ "flannel-cni-conf",
	  "with --flannel-backend=none on the server the files of /etc/cni/net.d are used as they are" },
	{ "flannel-external-ip",
	  "nodes reach each other by their InternalIPs, or by an interface that --flannel-iface names" },
	{ "kube-apiserver-arg", OWN_FLAGS },
	{ "kube-cloud-controller-manager-arg", NOTHING },
	{ "kube-controller-manager-arg", OWN_FLAGS },
	{ "kube-scheduler-arg", OWN_FLAGS },
	{ "kubelet-arg", OWN_FLAGS },
	{ "log", "the log goes to standard error: let the shell or systemd put it into a file" },
	{ "node-external-dns", NOT_YET },
	{ "node-external-ip", NOT_YET ": load balancers and Ingresses tell nodes' InternalIPs" },
	{ "node-internal-dns", NOT_YET },
	{ "prefer-bundled-bin", NOTHING },
	{ "private-registry",
	  "--registry-config-dir takes containerd's REGISTRY/hosts.toml files, which say the same" },
	{ "protect-kernel-defaults", NOTHING },
	{ "rootless", "a node needs root; without one the server runs with --disable-agent" },
	{ "secrets-encryption*", NOT_YET },
	{ "selinux", NOT_YET },
	{ "servicelb-namespace", "load balancers are no Pods here: leave it out" },
	{ "snapshotter", RUNTIME },
	{ "system-default-registry", NOT_YET ": `caravel image import` puts images on nodes" },
	{ "tls-san-security", "the certificate names nobody who only asks for it: leave it out" },
	{ "vpn-auth*", "bring the VPN up by yourself, and name its interface with --flannel-iface" },
	{ "with-node-id", "--node-name takes a name that is this machine's alone" },
	{ "write-kubeconfig-group", "--write-kubeconfig-mode says who may read it" },
};

const char *k3s_flag_instead(struct sv name)
{
	for (size_t i = 0; i < ARRAY_LEN(k3s_flags); i++) {
		struct sv flag = sv_from(k3s_flags[i].name);

		if (flag.p[flag.n - 1] == '*' ? sv_starts(name, sv_sub(flag, 0, flag.n - 1)) : sv_eq(name, flag))
			return k3s_flags[i].instead;
	}
	return NULL;
}
