"""Signs id_tokens and publishes the key that verifies them."""

from __future__ import annotations

import functools
import json
import time
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa

ALGORITHM = "RS512"  # recorded in the real discovery document


@functools.lru_cache(maxsize=1)
def _private_key() -> rsa.RSAPrivateKey:
    """One key for the whole process: making one takes longer than most tests."""
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def sign(claims: dict[str, Any]) -> str:
    """A JWT over the claims."""
    return jwt.encode(claims, _private_key(), algorithm=ALGORITHM)


def key_set() -> dict[str, Any]:
    """The JSON Web Key Set; clients take keys[0] and expect RSA (read in the SDK's source)."""
    public: dict[str, Any] = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(_private_key().public_key()))
    public.pop("key_ops", None)
    return {"keys": [{**public, "alg": ALGORITHM, "use": "sig", "kid": "emulator-1"}]}


def id_token_times(lifetime_seconds: int) -> dict[str, int]:
    """iat and exp by the wall clock, not the emulator's: clients check them against their own."""
    now = int(time.time())
    return {"iat": now, "exp": now + lifetime_seconds}
