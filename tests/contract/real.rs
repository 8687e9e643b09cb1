//! A real etcd, kube-apiserver and kube-controller-manager on loopback, ended with the suite.

use crate::peer::{Peer, Store};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tempfile::TempDir;

/// The folder with the programs.
const BIN: &str = "REPLANK_REAL_BIN";
/// A token for the suite, known to this server only.
const TOKEN: &str = "contract-suite";
/// How long the server may take to come up on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);

/// Why the suite can't run against a real server.
pub(crate) struct Missing(pub(crate) String);

/// The processes, killed when this is dropped.
pub(crate) struct Server {
    children: Vec<Child>,
    client: kube::Client,
    bin: PathBuf,
    etcd: String,
    directory: TempDir,
}

impl Drop for Server {
    fn drop(&mut self) {
        // The last to come goes first; a process that is gone already needs nothing.
        for child in self.children.iter_mut().rev() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

impl Server {
    /// Starts one, if there are programs to start.
    pub(crate) async fn start() -> Result<Self, Missing> {
        let Some(bin) = std::env::var_os(BIN).map(PathBuf::from) else {
            return Err(Missing(format!(
                "{BIN} names no folder with etcd, kube-apiserver and kube-controller-manager"
            )));
        };
        let directory = tempfile::tempdir().expect("a folder for the server");
        let at = directory.path();
        let (etcd, peer, api, manager) = (port(), port(), port(), port());
        std::fs::write(at.join("token"), format!("{TOKEN},contract,contract,system:masters\n")).unwrap();
        let key = rcgen::KeyPair::generate().expect("a key");
        std::fs::write(at.join("account.key"), key.serialize_pem()).unwrap();
        std::fs::write(at.join("account.pub"), key.public_key_pem()).unwrap();
        let etcd_url = format!("http://127.0.0.1:{etcd}");
        let path = |name: &str| at.join(name).display().to_string();
        let mut children = vec![spawn(
            &bin,
            "etcd",
            at,
            &[
                format!("--data-dir={}", path("etcd")),
                format!("--listen-client-urls={etcd_url}"),
                format!("--advertise-client-urls={etcd_url}"),
                format!("--listen-peer-urls=http://127.0.0.1:{peer}"),
                "--unsafe-no-fsync".into(),
            ],
        )];
        children.push(spawn(
            &bin,
            "kube-apiserver",
            at,
            &[
                format!("--etcd-servers={etcd_url}"),
                "--bind-address=127.0.0.1".into(),
                "--advertise-address=127.0.0.1".into(),
                format!("--secure-port={api}"),
                format!("--cert-dir={}", path("certs")),
                format!("--token-auth-file={}", path("token")),
                "--authorization-mode=Node,RBAC".into(),
                "--enable-bootstrap-token-auth".into(),
                // One resource is read from etcd itself, so that its history can be forgotten at will.
                "--watch-cache-sizes=endpoints#0".into(),
                "--service-cluster-ip-range=10.96.0.0/16".into(),
                "--service-account-issuer=https://contract".into(),
                format!("--service-account-key-file={}", path("account.pub")),
                format!("--service-account-signing-key-file={}", path("account.key")),
            ],
        ));
        let url = format!("https://127.0.0.1:{api}");
        let authority = at.join("certs/apiserver.crt");
        let mut server = Self {
            children,
            client: client(&url, &authority).await,
            bin: bin.clone(),
            etcd: etcd_url,
            directory,
        };
        server.until_it_answers().await;
        let kubeconfig = server.directory.path().join("kubeconfig");
        std::fs::write(&kubeconfig, configuration(&url, &authority)).unwrap();
        let manager = spawn(
            &bin,
            "kube-controller-manager",
            server.directory.path(),
            &[
                format!("--kubeconfig={}", kubeconfig.display()),
                format!("--secure-port={manager}"),
                "--bind-address=127.0.0.1".into(),
                "--leader-elect=false".into(),
                "--use-service-account-credentials=false".into(),
                "--allocate-node-cidrs=true".into(),
                "--cluster-cidr=10.250.0.0/16".into(),
                "--controllers=*,bootstrapsigner,tokencleaner".into(),
                format!(
                    "--service-account-private-key-file={}",
                    server.directory.path().join("account.key").display()
                ),
                format!("--root-ca-file={}", authority.display()),
            ],
        );
        server.children.push(manager);
        Ok(server)
    }

    /// The server as the cases see it. It lives as long as this value.
    pub(crate) fn peer(&self) -> Peer {
        let store = Store::Etcd { bin: self.bin.clone(), url: self.etcd.clone() };
        Peer::new("a real server", self.client.clone(), store)
    }

    async fn until_it_answers(&mut self) {
        let answers = async {
            while self
                .client
                .request_text(http::Request::get("/readyz").body(Vec::new()).unwrap())
                .await
                .is_err()
            {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        };
        if tokio::time::timeout(PATIENCE, answers).await.is_err() {
            let log =
                std::fs::read_to_string(self.directory.path().join("kube-apiserver.log")).unwrap_or_default();
            panic!("the real server does not come up:\n{log}");
        }
    }
}

fn spawn(bin: &Path, program: &str, at: &Path, arguments: &[String]) -> Child {
    let log = std::fs::File::create(at.join(format!("{program}.log"))).expect("a log");
    let path = bin.join(program);
    let child =
        Command::new(&path).args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn();
    child.unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// A port that was free just now.
fn port() -> u16 {
    TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("loopback").port()
}

/// A client that trusts the certificate which the server makes for itself at its first start.
async fn client(url: &str, authority: &Path) -> kube::Client {
    let made = async {
        while !authority.is_file() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(PATIENCE, made).await.expect("the server writes its certificate");
    let kubeconfig =
        kube::config::Kubeconfig::from_yaml(&configuration(url, authority)).expect("a kubeconfig");
    let options = kube::config::KubeConfigOptions::default();
    let config = kube::Config::from_custom_kubeconfig(kubeconfig, &options).await.expect("a configuration");
    replank_execution::world::client(config).expect("a client")
}

fn configuration(url: &str, authority: &Path) -> String {
    serde_json::json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "contract",
        "clusters": [{"name": "contract", "cluster": {"server": url, "certificate-authority": authority}}],
        "users": [{"name": "contract", "user": {"token": TOKEN}}],
        "contexts": [{"name": "contract", "context": {"cluster": "contract", "user": "contract"}}],
    })
    .to_string()
}
