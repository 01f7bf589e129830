"""A shared model's folder put on the Hugging Face Hub."""

from pathlib import Path

from air_lightning.runs.hub import library, parse


def push(folder: Path, name: str, private: bool) -> str:
    """Make or update a model on the Hub, in one commit; where it can be seen.

    Args:
        folder: what ``write_weights`` has written. name: `hf://owner/name`, with `@branch` one that is made if missing.
        private: whether a model made by this is for its owner alone.

    Raises:
        RunError: the name is wrong, or `huggingface_hub` is not installed.
        ValueError: the Hub does not take it; the message has its reason.
    """
    shared, hub = parse(name), library()
    api = hub.HfApi()
    try:
        api.create_repo(shared.repository, private=private or None, exist_ok=True)
        if shared.revision is not None:
            api.create_branch(shared.repository, branch=shared.revision, exist_ok=True)
        commit = api.upload_folder(
            repo_id=shared.repository,
            folder_path=folder,
            revision=shared.revision,
            commit_message="Config, weights, card",
        )
    except Exception as error:  # the library's HTTP client has its own, and another one in other versions
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise ValueError(f"--push {name!r}: the Hub did not take it ({reason}); {str(folder)!r} is written") from error
    return str(commit.commit_url)
