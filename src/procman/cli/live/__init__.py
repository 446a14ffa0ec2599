"""The live screen of `procman top`. The only room that imports textual; a client like every other verb."""
