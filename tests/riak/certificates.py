"""Certificates for tests: an authority, and what it signs, made within milliseconds."""

import datetime as dt
import ipaddress
from dataclasses import dataclass, field
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

DAY = dt.timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Authority:
    """Who signs the certificates of nodes. What it writes are PEM files."""

    name: str
    key: ec.EllipticCurvePrivateKey = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))

    def write(self, folder: Path) -> Path:
        """The authority's own certificate."""
        return _written(
            folder / f"{self.name}.pem", self._signed(self.name, self.key, until_days=10, is_authority=True)
        )

    def issue(self, folder: Path, *, address: str = "127.0.0.1", until_days: int = 10) -> tuple[Path, Path]:
        """A node's certificate for this address, and its key."""
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = self._signed("node", key, until_days=until_days, address=address)
        stem = f"{self.name}-{address}-{until_days}"
        private = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        key_file = folder / f"{stem}.key"
        key_file.write_bytes(private)
        return _written(folder / f"{stem}.pem", certificate), key_file

    def _signed(
        self,
        subject: str,
        key: ec.EllipticCurvePrivateKey,
        *,
        until_days: int,
        address: str = "",
        is_authority: bool = False,
    ) -> x509.Certificate:
        now = dt.datetime.now(dt.UTC)
        made = (
            x509.CertificateBuilder()
            .subject_name(_name(subject))
            .issuer_name(_name(self.name))
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - 20 * DAY)
            .not_valid_after(now + until_days * DAY)
            .add_extension(x509.BasicConstraints(ca=is_authority, path_length=None), critical=True)
        )
        if address:
            names = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(address))])
            made = made.add_extension(names, critical=False)
        return made.sign(self.key, hashes.SHA256())


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])


def _written(path: Path, certificate: x509.Certificate) -> Path:
    path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    return path
