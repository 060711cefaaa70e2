"""What a store's writer remembers from one group of writes to the next, beside what is stored."""

from api_server.store import Store, changes, concerns, loading
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
        for uuid, remembered in known.objects.items():
            if (stored := loading.one(session, uuid)) != remembered:
                found.append(f"{remembered}\n  is stored as {stored}")
        for (kind, fq_name), uuid in known.uuids.items():
            if (stored_uuid := loading.find(session, kind, fq_name)) != uuid:
                found.append(f"{kind} {fq_name}: {uuid}, is stored as {stored_uuid}")
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
