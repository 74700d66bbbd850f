//! Client certificates from PEM and PKCS #12 files made on the spot.
#![expect(clippy::unwrap_used, reason = "a test may stop")]

use std::fs::{Permissions, write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use p12_keystore::{
    Certificate, EncryptionAlgorithm, KeyStore, KeyStoreEntry, MacAlgorithm, PrivateKey,
    PrivateKeyChain,
};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use tls::{ClientCertificate, client_certificate};

/// A root, an intermediate and a certificate that it issued.
struct Made {
    root: rcgen::Certificate,
    middle: rcgen::Certificate,
    leaf: rcgen::Certificate,
    key: KeyPair,
}

fn params(name: &str, is_ca: IsCa) -> CertificateParams {
    let mut params = CertificateParams::new(vec![]).unwrap();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = is_ca;
    params
}

fn made() -> Made {
    let authority = || IsCa::Ca(BasicConstraints::Unconstrained);
    let (root_key, middle_key, key) =
        (KeyPair::generate().unwrap(), KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
    let root_params = params("Root", authority());
    let root = root_params.self_signed(&root_key).unwrap();
    let root_issuer = Issuer::new(root_params, root_key);
    let middle_params = params("Middle", authority());
    let middle = middle_params.signed_by(&middle_key, &root_issuer).unwrap();
    let leaf = params("relay.example.com", IsCa::NoCa)
        .signed_by(&key, &Issuer::new(middle_params, middle_key))
        .unwrap();
    Made { root, middle, leaf, key }
}

fn pfx(made: &Made, password: &str, algorithm: EncryptionAlgorithm) -> Vec<u8> {
    let chain =
        [&made.leaf, &made.middle, &made.root].map(|it| Certificate::from_der(it.der()).unwrap());
    let key = PrivateKey::from_der(&made.key.serialize_der()).unwrap();
    let mut store = KeyStore::new();
    store.add_entry("it", KeyStoreEntry::PrivateKeyChain(PrivateKeyChain::new("1", key, chain)));
    let writer = store.writer(password).encryption_algorithm(algorithm).encryption_iterations(100);
    writer.mac_algorithm(MacAlgorithm::HmacSha256).mac_iterations(100).write().unwrap()
}

fn open(folder: &Path, password: Option<&str>) -> Result<usize, String> {
    let (file, password_file) = (folder.join("it.pfx"), folder.join("password"));
    if let Some(password) = password {
        write(&password_file, password).unwrap();
        std::fs::set_permissions(&password_file, Permissions::from_mode(0o640)).unwrap();
    }
    let password_file = password.map(|_| password_file.as_path());
    let opened = client_certificate(ClientCertificate::Pfx { file: &file, password_file });
    let key = opened.map_err(|error| error.to_string())?;
    assert!(key.keys_match().is_ok());
    Ok(key.cert.len())
}

#[test]
fn a_pfx_file_is_read_whatever_its_encryption() {
    let (folder, made) = (tempfile::tempdir().unwrap(), made());
    for algorithm in [
        EncryptionAlgorithm::PbeWithHmacSha256AndAes256,
        EncryptionAlgorithm::PbeWithShaAnd40BitRc4Cbc,
        EncryptionAlgorithm::PbeWithShaAnd3KeyTripleDesCbc,
    ] {
        write(folder.path().join("it.pfx"), pfx(&made, "open sesame", algorithm)).unwrap();
        assert_eq!(
            open(folder.path(), Some("open sesame\r\n")),
            Ok(2),
            "the certificate and its issuer, not the root"
        );
        let error = open(folder.path(), Some("sesame")).unwrap_err();
        assert!(error.contains("the password is wrong, or the file is damaged"), "{error}");
        assert!(open(folder.path(), None).unwrap_err().contains("the password is wrong"));
    }
    write(
        folder.path().join("it.pfx"),
        pfx(&made, "", EncryptionAlgorithm::PbeWithHmacSha256AndAes256),
    )
    .unwrap();
    assert_eq!(open(folder.path(), None), Ok(2));
}

#[test]
fn what_cannot_be_used_is_said_in_words() {
    let (folder, made) = (tempfile::tempdir().unwrap(), made());
    let file = folder.path().join("it.pfx");
    assert!(open(folder.path(), None).unwrap_err().starts_with("cannot read "));
    write(&file, made.leaf.pem()).unwrap();
    assert!(open(folder.path(), None).unwrap_err().ends_with("it is not a PKCS #12 file"));
    write(&file, vec![b'0'; (1 << 20) + 1]).unwrap();
    assert!(open(folder.path(), None).unwrap_err().ends_with("it is longer than 1048576 octets"));
    let other = Made { key: KeyPair::generate().unwrap(), ..made };
    write(&file, pfx(&other, "", EncryptionAlgorithm::PbeWithHmacSha256AndAes256)).unwrap();
    assert!(
        open(folder.path(), None)
            .unwrap_err()
            .ends_with("none of its 3 certificates fits its private key")
    );
    write(&file, KeyStore::new().writer("").write().unwrap()).unwrap();
    assert!(open(folder.path(), None).unwrap_err().contains("it holds 0 private keys"));
    let password_file = folder.path().join("password");
    write(&password_file, "x").unwrap();
    std::fs::set_permissions(&password_file, Permissions::from_mode(0o644)).unwrap();
    let source = ClientCertificate::Pfx { file: &file, password_file: Some(&password_file) };
    assert!(
        client_certificate(source)
            .unwrap_err()
            .to_string()
            .contains("is open to everybody (mode 644)")
    );
}

#[test]
fn a_pair_of_pem_files_is_read() {
    let (folder, made) = (tempfile::tempdir().unwrap(), made());
    let (certificate, key) = (folder.path().join("cert.pem"), folder.path().join("key.pem"));
    write(&certificate, made.leaf.pem() + &made.middle.pem()).unwrap();
    write(&key, made.key.serialize_pem()).unwrap();
    let source = ClientCertificate::Pem { certificate: &certificate, key: &key };
    assert_eq!(client_certificate(source).unwrap().cert.len(), 2);
    write(&key, KeyPair::generate().unwrap().serialize_pem()).unwrap();
    assert!(
        client_certificate(source)
            .unwrap_err()
            .to_string()
            .contains("does not fit the certificate")
    );
}
