"""The key and the certificates that sign films."""

import datetime as dt
import tempfile
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

KEY_NAME, CERTIFICATES_NAME = "key.pem", "certificates.pem"
VALID_DAYS = 3650


@dataclass(frozen=True)
class Credentials:
    """A private key for ES256, and its certificate followed by those of its issuers; both in PEM."""

    key: str
    certificates: str


def credentials_in(folder: Path) -> Credentials:
    """Read the credentials in a folder; if it has none, make a key with certificates of its own.

    Films that are signed with such a key can be verified, but no other program trusts their signer.

    Raises:
        OSError: the folder cannot be read or written.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    made = folder / "self-signed"
    if not (folder / KEY_NAME).exists() and not made.exists():
        _make_once(made)
    place = folder if (folder / KEY_NAME).exists() else made
    return Credentials((place / KEY_NAME).read_text(), (place / CERTIFICATES_NAME).read_text())


def _make_once(place: Path) -> None:
    """Make the folder with both files appear at once; another process may do the same."""
    with tempfile.TemporaryDirectory(dir=place.parent) as name:
        made = self_signed("Multishot")
        for file, text in ((KEY_NAME, made.key), (CERTIFICATES_NAME, made.certificates)):
            path = Path(name) / "pair" / file
            path.parent.mkdir(mode=0o700, exist_ok=True)
            path.touch(mode=0o600)
            path.write_text(text)
        try:
            path.parent.rename(place)
        except OSError:
            if not place.exists():
                raise


def self_signed(organization: str) -> Credentials:
    """Make a certificate authority, and a key that it certifies: C2PA does not allow self-issued signers."""
    authority, signer = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    issuer = _name(organization, f"{organization} local authority")
    root = (
        _certificate(issuer, issuer, authority.public_key())
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
        .sign(authority, hashes.SHA256())
    )
    leaf = (
        _certificate(_name(organization, f"{organization} films"), issuer, signer.public_key())
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION]), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.public_key()), critical=False)
        .sign(authority, hashes.SHA256())
    )
    key = signer.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    chain = b"".join(one.public_bytes(serialization.Encoding.PEM) for one in (leaf, root))
    return Credentials(key.decode(), chain.decode())


def _name(organization: str, common: str) -> x509.Name:
    return x509.Name(
        [x509.NameAttribute(NameOID.ORGANIZATION_NAME, organization), x509.NameAttribute(NameOID.COMMON_NAME, common)]
    )


def _certificate(subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
    now = dt.datetime.now(dt.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=VALID_DAYS))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
