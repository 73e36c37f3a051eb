"""`galgame-asr publish`: an export and its model card, to the hub."""

import argparse


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command and its arguments."""
    command = commands.add_parser(
        "publish", help="write the model card of an export; with --push upload both"
    )
    command.add_argument("name", metavar="NAME", help="of the export in params.yaml")
    command.add_argument("--repo", required=True, metavar="USER/MODEL", help="on the hub")
    command.add_argument("--push", action="store_true", help="upload, instead of only telling")
    who = command.add_mutually_exclusive_group()
    who.add_argument("--private", action="store_true", default=True, help="the default")
    who.add_argument("--public", dest="private", action="store_false", help="for everybody")
    command.add_argument(
        "--license",
        metavar="ID",
        type=str.lower,
        help="of the model, where its corpora's terms do not decide",
    )
    command.add_argument(
        "--base-license",
        metavar="ID",
        type=str.lower,
        help="of the published model that it comes from",
    )
    command.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    """Say what would be uploaded; with --push upload it."""
    from galgame_asr.publishing import publish

    ready = publish.prepare(
        options.name,
        options.repo,
        private=options.private,
        licence=options.license,
        base_licence=options.base_license,
    )
    for name, size in ready.sizes.items():
        print(f"{size / 1e6:10.3f} MB  {name}")
    print(f"card: {ready.card}")
    print(f"licence: {ready.licence.name or ready.licence.id}")
    for warning in ready.warnings:
        print(f"warning: {warning}")
    readers = "you and who you let in" if options.private else "everybody, for good: copies stay"
    kind = "private" if options.private else "public"
    total_mb = sum(ready.sizes.values()) / 1e6
    what = f"{len(ready.files)} files, {total_mb:.1f} MB, in one commit to the {kind} {ready.repo}"
    if not options.push:
        print(f"Nothing was uploaded. --push would upload {what}, making it if it is not there,")
        print(f"replacing files of the same names; it can be read by {readers}.")
        return
    print(f"uploading {what}; it can be read by {readers}")
    print(f"published: {publish.push(ready)}")
