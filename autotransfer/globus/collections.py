"""The two collections: of which kind each is, whether it is ready, and what its folders hold."""

from __future__ import annotations

from typing import NamedTuple

import globus_sdk

from autotransfer.common.errors import ConfigurationProblem, FolderTooLarge, GlobusProblem, Problem
from autotransfer.common.settings import Settings
from autotransfer.globus.answers import COLLECTION, LISTING, document_in, rows_in, words
from autotransfer.globus.failures import NEXT_RUN, explained
from autotransfer.globus.login import Login


class Collection(NamedTuple):
    """What is needed of a collection's document.

    Args:
        wants_data_access: Whether it is a mapped collection, which requires the data_access consent.
        is_connected, is_paused: For Globus Connect Personal; others are always connected.
        may_verify: Whether it lets transfers verify checksums (`disable_verify` of its document is false or absent).
    """

    id: str
    name: str
    entity_type: str
    wants_data_access: bool
    is_connected: bool
    is_paused: bool
    is_functional: bool
    may_verify: bool = True

    @property
    def title(self) -> str:
        return f'"{self.name}" ({self.id})'


class Collections:
    """Asks Transfer about collections and their folders.

    Args:
        again: A sentence on who repeats a failed request, and when.
    """

    def __init__(self, client: globus_sdk.TransferClient, *, again: str = NEXT_RUN) -> None:
        self._client = client
        self._again = again

    def get(self, collection_id: str) -> Collection:
        """The collection.

        Raises:
            ConfigurationProblem: It does not exist.
            SignInNeeded, GlobusProblem: Globus did not show it.
        """
        with explained(
            "show the collection {}", about=collection_id, effect="Nothing was sent or recorded.", again=self._again
        ):
            document = document_in(self._client.get_endpoint(collection_id), COLLECTION)
            if not document["id"]:
                raise ValueError("the answer has no id")
            kind = document.get("entity_type") or ""
            return Collection(
                id=document["id"],
                name=document.get("display_name") or document.get("canonical_name") or collection_id,
                entity_type=kind,
                # Source: the rule of the SDK's add_app_data_access_scope and of the globus command line.
                wants_data_access=kind == "GCSv5_mapped_collection" and document.get("high_assurance") is False,
                is_connected=document.get("gcp_connected") is not False,
                is_paused=document.get("gcp_paused") is True,
                is_functional=document.get("non_functional") is not True,
                may_verify=document.get("disable_verify", False) is False,
            )

    def names(self, collection_id: str, path: str, *, most: int) -> list[str] | None:
        """The names in a folder, including hidden ones, at most `most` of them; None if there is no such folder.

        Raises:
            ConfigurationProblem: The path is not a folder.
            FolderTooLarge: It has more than 100,000 names, however few are asked for.
            SignInNeeded, GlobusProblem: It could not be listed.
        """
        with explained(f"list {path} on collection {collection_id}", effect="Nothing was changed."):
            try:
                answer = self._client.operation_ls(collection_id, path=path, show_hidden=True, limit=most)
            except globus_sdk.TransferAPIError as error:
                code, message = (error.code or "").lower(), (error.message or "").lower()
                if "notdirectory" in code or "not a directory" in message:
                    raise ConfigurationProblem(
                        f"{path} on collection {collection_id} is not a folder",
                        why=words(error.message) or "",
                        remedy="Correct the path. Nothing was changed.",
                    ) from error
                # Observed: 502 ExternalError.DirListingFailed.SizeLimit (azrael417/mlperf-deepcam, issue 13).
                if "sizelimit" in code or message.startswith("directory limit"):
                    raise FolderTooLarge(
                        f"{path} on collection {collection_id} is too large to be listed",
                        why=words(error.message) or "",
                        remedy="Transfers are not affected. Nothing was changed.",
                    ) from error
                if "endpointnotfound" not in code and ("notfound" in code or "no such file or directory" in message):
                    return None
                raise
            rows = rows_in(document_in(answer, LISTING))
            names = [row["name"] for row in rows if row and row["name"] is not None]
            if len(names) < len(rows):
                raise ValueError("a row of the answer has no name")
            return names

    def make_folder(self, collection_id: str, path: str) -> None:
        """Create a folder whose parent exists."""
        with explained(f"create the folder {path} on collection {collection_id}", effect="Nothing was changed."):
            self._client.operation_mkdir(collection_id, path)

    def remove_folder(self, collection_id: str, path: str) -> None:
        """Have a folder deleted with all its contents; only for one that this tool made itself."""
        document = globus_sdk.DeleteData(
            endpoint=collection_id,
            recursive=True,  # without it Globus deletes no folder, not even an empty one
            label="clean-up of a test folder",
            notify_on_succeeded=False,
            notify_on_failed=False,
            notify_on_inactive=False,
        )
        document.add_item(path)
        with explained(f"delete the folder {path} on collection {collection_id}"):
            self._client.submit_delete(document)


def not_ready(collection: Collection) -> Problem | None:
    """Why nothing can be sent from or to the collection now, or None."""
    if not collection.is_functional:
        return GlobusProblem(
            f"Collection {collection.title} holds no data of its own",
            why=f"it is a {collection.entity_type or 'non-functional endpoint'}",
            remedy="Use the UUID of a collection on it. Nothing was sent or recorded.",
        )
    if not collection.is_connected:
        return GlobusProblem(
            f"Collection {collection.title} is not connected to Globus",
            remedy="Start Globus Connect Personal on its machine. Nothing was sent or recorded; the next run tries "
            "again.",
        )
    if collection.is_paused:
        return GlobusProblem(
            f"Collection {collection.title} is paused",
            remedy="Unpause Globus Connect Personal on its machine. Nothing was sent or recorded; the next run tries "
            "again.",
        )
    return None


def ready_ends(login: Login, settings: Settings) -> tuple[Collection, Collection]:
    """Both collections of a route, which take transfers now.

    Raises:
        ConfigurationProblem, SignInNeeded, GlobusProblem: One does not.
    """
    collections = Collections(login.transfer)
    ends = collections.get(settings.src_id), collections.get(settings.dst_id)
    for end in ends:
        if problem := not_ready(end):
            raise problem
    if login.is_service_account:  # a person gave this consent at sign-in
        login.want_data_access([end.id for end in ends if end.wants_data_access])
    return ends
