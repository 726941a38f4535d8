//! Repositories behind real servers on loopback: `git http-backend` and `sshd`.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// An http or https server. It ends with this value.
pub struct HttpServer {
    child: Child,
    /// Without a slash at the end.
    pub url: String,
    requests: Arc<Mutex<Vec<String>>>,
}

impl HttpServer {
    /// Serves the repositories below a folder; for the other arguments see the script.
    pub fn start(folder: &Path, args: &[&str]) -> Self {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/git_server/server.py");
        let mut command = Command::new("python3");
        command.arg(script).arg(folder).args(args).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let first = lines.next().expect("the server ended at once; what it said is above").unwrap();
        let url = first.strip_prefix("listening on ").unwrap().to_owned();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&requests);
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                seen.lock().unwrap().push(line);
            }
        });
        Self { child, url, requests }
    }

    /// The requests so far: method, path, user.
    pub fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }
}

impl Drop for HttpServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// An ssh server for the user who runs the tests. It ends with this value.
pub struct SshServer {
    child: Child,
    folder: PathBuf,
    /// Where it listens.
    pub port: u16,
}

impl SshServer {
    /// Starts it with host keys of these types; whoever has a key in
    /// `FOLDER/authorized_keys` is let in. Without an sshd on this machine there is none.
    pub fn start(folder: &Path, host_keys: &[&str]) -> Option<Self> {
        let sshd = ["/usr/sbin/sshd", "/usr/local/sbin/sshd"].into_iter().find(|path| Path::new(path).exists());
        let Some(sshd) = sshd else {
            println!("skipped: there is no sshd (Debian: openssh-server)");
            return None;
        };
        fs::create_dir_all(folder).unwrap();
        // Debian's sshd wants this folder, which its service makes.
        let _ = fs::create_dir_all("/run/sshd");
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut config = format!(
            "Port {port}\nListenAddress 127.0.0.1\nPidFile none\nUsePAM no\nStrictModes no\n\
             PasswordAuthentication no\nPermitRootLogin yes\nAuthorizedKeysFile {}\n",
            folder.join("authorized_keys").display()
        );
        for kind in host_keys {
            let key = folder.join(format!("host_{kind}"));
            if !key.exists() {
                keygen(&key, kind, "");
            }
            config += &format!("HostKey {}\n", key.display());
            let certificate = folder.join(format!("host_{kind}-cert.pub"));
            if certificate.exists() {
                config += &format!("HostCertificate {}\n", certificate.display());
            }
        }
        fs::write(folder.join("sshd_config"), config).unwrap();
        let log = fs::File::create(folder.join("log")).unwrap();
        let mut command = Command::new(sshd);
        command.args(["-D", "-e", "-f"]).arg(folder.join("sshd_config")).stderr(log);
        let mut child = command.spawn().unwrap();
        let deadline = Instant::now() + Duration::from_secs(20);
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            let log = fs::read_to_string(folder.join("log")).unwrap_or_default();
            assert!(child.try_wait().unwrap().is_none(), "sshd ended: {log}");
            assert!(Instant::now() < deadline, "sshd does not listen: {log}");
            std::thread::sleep(Duration::from_millis(20));
        }
        Some(Self { child, folder: folder.to_owned(), port })
    }

    /// The lines for a file of known hosts, one for each of the types.
    pub fn known_hosts(&self, kinds: &[&str]) -> String {
        let line = |kind: &&str| {
            let public = fs::read_to_string(self.folder.join(format!("host_{kind}.pub"))).unwrap();
            format!("[127.0.0.1]:{} {public}", self.port)
        };
        kinds.iter().map(line).collect()
    }

    /// Lets the owner of this public key in.
    pub fn authorize(&self, public: &Path) {
        let file = self.folder.join("authorized_keys");
        let mut known = fs::read_to_string(&file).unwrap_or_default();
        known += &fs::read_to_string(public).unwrap();
        fs::write(file, known).unwrap();
    }
}

impl Drop for SshServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Makes a pair of keys; the public one has `.pub` at the end.
pub fn keygen(path: &Path, kind: &str, passphrase: &str) {
    let mut command = Command::new("ssh-keygen");
    command.args(["-q", "-t", kind, "-N", passphrase, "-f"]).arg(path);
    if kind == "rsa" {
        command.args(["-b", "2048"]);
    }
    assert!(command.status().unwrap().success());
}
