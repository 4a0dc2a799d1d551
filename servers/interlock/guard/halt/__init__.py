"""The kill switch: `switch` says whether it is thrown, `orders` reads the file, `running` knows who must hear of it."""
