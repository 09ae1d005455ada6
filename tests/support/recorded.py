"""What the datastore holds of a folder, for tests of scans."""

from __future__ import annotations

from autotransfer.datastore.record import Delivered, Folder, Record
from autotransfer.scan.listing import Listing


def recorded(listing: Listing) -> Record:
    """A folder's record after all in it was delivered."""
    folder = Folder()
    folder.delivered = {name: Delivered(*fingerprint, 9, 1) for name, fingerprint in listing.files.items()}
    folder.folders = set(listing.folders)
    return folder.pack()
