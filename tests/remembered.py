"""What a store's writer remembers from one group of writes to the next, beside what is stored."""

from api_server.store import Store, changes, concerns, loading, names
from api_server.store.session import Session


def differences(store: Store) -> list[str]:
    """Where they are not the same; nothing if another process has written since, of which the writer will take note."""
    known = store._writer.known
    session = Session(store._database)
    session.connect()
    found = []
    try:
        if changes.bounds(session).newest != store._writer._revision:
            return []
        stored = {one.uuid: one for one in loading.many(session, list(known.objects))}
        for uuid, remembered in known.objects.items():
            if stored.get(uuid) != remembered:
                found.append(f"{remembered}\n  is stored as {stored.get(uuid)}")
        for kind in {kind for kind, _ in known.uuids}:
            fq_names = session.array([fq_name for of, fq_name in known.uuids if of == kind and names.storable(fq_name)])
            uuids = dict(map(tuple, session.all(loading.UUIDS_OF, type=kind, fq_names=fq_names)))
            for (of, fq_name), uuid in known.uuids.items():
                if of == kind and uuids.get(fq_name) != uuid:
                    found.append(f"{kind} {fq_name}: {uuid}, is stored as {uuids.get(fq_name)}")
        for uuid, named in known.names.items():
            if uuid not in known.objects and (stored_name := loading.identify(session, uuid)) != named:
                found.append(f"{uuid}: {named}, is stored as {stored_name}")
        concerned = concerns.stored(session, known.scopes)
        for uuid, scopes in known.scopes.items():
            if concerned.get(uuid, set()) != scopes:
                found.append(f"{uuid}: concerns {scopes}, is stored as {concerned.get(uuid)}")
    finally:
        session.close()
    return found
