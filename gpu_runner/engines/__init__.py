"""Programs of others' making that train in the studio's place: a user's script, Axolotl."""
