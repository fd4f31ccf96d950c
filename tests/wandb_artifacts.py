"""What a stand-in for the Weights & Biases server knows of artifacts."""

import json
import uuid


class Artifacts:
    """Answers the client's questions about artifacts.

    Args:
        url: of the server.
        project: the name of the project.
        entity: the name of its owner.

    Attributes:
        known: by id, each with its type, name, aliases, metadata, the names of its files and whether a run used it.
    """

    def __init__(self, url, project, entity):
        self._url, self._project, self._entity, self.known = url, project, entity, {}

    def answer(self, query, variables):
        """Returns the answer to a question about artifacts; None to any other."""
        given = variables.get("input") or variables
        place = {"uploadUrl": f"{self._url}/upload/manifest", "uploadHeaders": []}
        manifest = {"artifactManifest": {"id": "m", "file": {"id": "f", **place}}}
        if "createArtifact(" in query:
            name = uuid.uuid4().hex[:8]
            aliases = [each["alias"] for each in given.get("aliases") or []]
            held = {"type": given["artifactTypeName"], "name": given["artifactCollectionName"]}
            metadata = json.loads(given.get("metadata") or "{}")
            self.known[name] = held | {"aliases": aliases, "metadata": metadata, "files": [], "used": False}
            artifact = {"id": name, "state": "PENDING", "artifactSequence": {"latestArtifact": None}}
            return {"createArtifact": {"artifact": artifact}}
        if "createArtifactManifest(" in query:
            return {"createArtifactManifest": manifest}
        if "updateArtifactManifest(" in query:
            return {"updateArtifactManifest": manifest}
        if "createArtifactFiles(" in query:
            files = []
            for file in given["artifactFiles"]:
                self.known[file["artifactID"]]["files"].append(file["name"])
                upload = {"uploadUrl": f"{self._url}/artifact/{file['name']}", "uploadHeaders": []}
                held = {"id": "n", "name": file["name"], "displayName": file["name"], "uploadMultipartUrls": None}
                held |= upload | {"storagePath": file["name"], "artifact": {"id": file["artifactID"]}}
                files.append({"node": held})
            return {"createArtifactFiles": {"files": {"edges": files}}}
        if "commitArtifact(" in query:
            return {"commitArtifact": {"artifact": {"id": given["artifactID"], "digest": ""}}}
        if "useArtifact(" in query:
            self.known[given["artifactID"]]["used"] = True
            return {"useArtifact": {"artifact": {"id": given["artifactID"]}}}
        if "ArtifactByID" in query:
            held = self.known[given["id"]]
            project = {"id": "p", "internalId": "p", "name": self._project, "entity": {"name": self._entity}}
            sequence = {"__typename": "ArtifactSequence", "name": held["name"], "project": project}
            empty = dict.fromkeys(("description", "historyStep", "commitHash", "updatedAt"))
            counts = {
                "versionIndex": 0,
                "size": 0,
                "fileCount": len(held["files"]),
                "ttlIsInherited": False,
                "ttlDurationSeconds": -2,
            }
            rest = {"artifactType": {"name": held["type"]}, "tags": [], "aliases": [], "digest": "d"}
            rest |= {"metadata": json.dumps(held["metadata"]), "state": "COMMITTED"}
            named = {"__typename": "Artifact", "id": given["id"], "createdAt": "2020-01-01T00:00:00"}
            return {"artifact": {**empty, **counts, **rest, **named, "artifactSequence": sequence}}
        if "artifactType" in query:
            return {"project": {"artifact": None}}
        return None
