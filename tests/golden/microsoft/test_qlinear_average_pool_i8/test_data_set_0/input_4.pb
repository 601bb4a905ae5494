By_zeroJ
