"""Pull requests over the APIs of GitHub, GitLab and Gitea (which is Forgejo's).

LAW: four requests of each, found before made; a token reaches its own host and nothing else, and no word of a server
reaches a status. Libraries were looked at: each knows one of the three (gidgethub, python-gitlab, the generated ones of
Gitea), half of them block, and each would bring its own way of erring for four requests of JSON.
"""

from patchwright.adapters.forge.client import ForgeClient as ForgeClient
