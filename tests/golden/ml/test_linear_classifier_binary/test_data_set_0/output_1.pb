By1J 4[N>3iL?@S>0k_?äJ?ÈoT>oë>zH
?