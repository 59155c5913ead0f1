/* Vehicles, buildings, plants, food, household. */
#include "scenes/category.h"

// clang-format off
const gh_category gh_things[] = {
    {"car", "cars", true, "a box on its roof", {"with its lights off", "with its lights on"},
     "+s u p 46 16 70 6 70 34 46 26; +f B r -22 -30 34 13 2; D p -32 12 -20 -17 14 -17 28 12; "
     "S p -23 10 -15 -12 -5 -12 -5 10; S p 1 10 1 -12 11 -12 20 10; "
     "M c -48 12 -46 36 -20 38 46 38 49 18 30 10 -30 8; K e -26 38 12 12; G e -26 38 5 5; K e 27 38 12 12; "
     "G e 27 38 5 5; +s Y e 45 20 6 6; -s T e 45 20 4 5",
     "from above",
     "+f B r -16 -12 30 24 2; M r -48 -24 96 48 14; S p 8 -17 20 -20 20 20 8 17; S r -34 -17 9 34 3; "
     "+f B r -20 -13 24 26 2; +s Y e 46 -15 4 5; +s Y e 46 15 4 5; -s T e 46 -15 3 5; -s T e 46 15 3 5"},
    {"bus", "buses", true, "luggage on its roof", {"with its door closed", "with its door open"},
     "+f B r -36 -46 26 15 2; +f O r -6 -44 20 13 2; M p -48 -31 38 -31 49 -4 49 36 -48 36; S r -43 -23 15 19 2; "
     "S r -24 -23 15 19 2; S r -5 -23 15 19 2; S p 35 -23 40 -23 46 -4 35 -4; -s L r 15 -23 16 57 2; "
     "-s S r 18 -20 10 28 1; +s K r 15 -23 16 57 2; K e -28 38 11 11; G e -28 38 4 4; K e 3 38 11 11; "
     "G e 3 38 4 4; Y e 47 20 3 5",
     "from the front",
     "+f B r -22 -48 20 14 2; +f O r 2 -46 20 12 2; M r -36 -36 72 78 9; S r -29 -26 58 28 4; Y e -25 24 6 6; "
     "Y e 25 24 6 6; K r -12 20 24 12 2; K r -34 40 14 10 3; K r 20 40 14 10 3; +s K r 30 -10 8 48 1"},
    {"truck", "trucks", true, "an antenna", {"with an empty bed", "loaded with boxes"},
     "+f K l 3 16 -8 8 -42; +f R e 8 -43 5 5; +s O r -44 -14 26 28 2; +s B r -16 -4 20 18 2; M r -48 12 62 18 2; "
     "D p 12 30 12 -14 32 -14 46 8 49 30; S p 18 6 18 -8 30 -8 38 6; K e -30 36 12 12; G e -30 36 5 5; "
     "K e 30 36 12 12; G e 30 36 5 5", NULL, NULL},
    {"train", "trains", true, "smoke", {"with its light off", "with its light on"},
     "+f w e 22 -46 7 5; +f w e 12 -52 9 6; +f w e -2 -56 8 6; +s u p 44 -4 72 -16 72 18 44 8; "
     "K r 20 -36 14 24 2; K r 16 -39 22 6 1; M r -18 -14 64 40 12; D r -48 -34 34 62 3; S r -41 -26 20 20 2; "
     "B r -50 -39 40 7 2; G p 38 26 50 44 28 44; K e -34 36 12 12; R e -34 36 5 5; K e -6 36 12 12; "
     "R e -6 36 5 5; K e 20 36 12 12; R e 20 36 5 5; +s Y e 44 2 6 7; -s T e 44 2 5 6",
     "from the front",
     "+f w e 8 -52 9 6; +f w e -6 -57 8 6; K r -8 -46 16 18 2; M e 0 0 34 34; D e 0 0 24 24; K l 2 -16 0 16 0; "
     "+s Y e 0 -22 8 8; -s T e 0 -22 7 7; G p -30 30 30 30 40 46 -40 46; K l 2 0 30 0 46; K l 2 -14 30 -18 46; "
     "K l 2 14 30 18 46"},
    {"boat", "boats", true, "a flag", {"with its sail down", "with its sail up"},
     "+f R p 2 -49 -22 -43 2 -37; B l 4 2 18 2 -48; +s W p 6 -40 42 8 6 8; -s W a 7 4 12 20 8 34 12; "
     "M p -44 14 50 10 32 40 -32 40; S p -50 36 -30 33 -10 37 12 33 32 37 50 33 50 47 -50 47",
     "from above",
     "M c -46 0 -30 -20 10 -20 48 0 10 20 -30 20; F c -36 0 -26 -13 6 -13 32 0 6 13 -26 13; B l 5 -10 -13 -10 13; "
     "B l 5 6 -12 6 12; +s W p -2 -4 30 -2 30 2 -2 4; +f R p -2 0 -20 -8 -20 6"},
    {"airplane", "airplanes", true, "a propeller", {"with its wheels up", "with its wheels down"},
     "+s K l 3 20 8 22 28; +s K e 22 30 6 6; +s K l 3 -16 8 -16 28; +s K e -16 30 6 6; "
     "D p -40 2 -48 -30 -36 -30 -22 -2; M c -46 0 -30 -10 14 -14 40 -8 47 2 34 12 0 14 -32 8; S e -18 -2 4 4; "
     "S e -6 -2 4 4; S e 6 -2 4 4; S p 22 -10 36 -7 42 -1 24 0; D p -4 6 16 6 -12 34 -26 34; "
     "+f K l 5 49 -18 49 22; +f R e 48 2 4 5",
     "from above",
     "D p -40 0 -48 -18 -40 -18 -26 0 -40 18 -48 18; D p 8 0 -18 -46 -6 -46 24 0 -6 46 -18 46; "
     "M c -46 0 -30 -8 30 -10 46 0 30 10 -30 8; S p 28 -6 36 -4 36 4 28 6; +f K l 5 49 -16 49 16; "
     "+s K e -2 -30 4 4; +s K e -2 30 4 4"},
    {"rocket", "rockets", false, "a flag", {"with its engine off", "with its engine on"},
     "+s O p -12 30 0 50 12 30; +s y p -6 30 0 42 6 30; +f W l 3 0 -46 0 -58; +f R p 0 -60 24 -53 0 -46; "
     "D p -14 4 -34 32 -14 28; D p 14 4 34 32 14 28; M c 0 -49 14 -28 18 0 14 30 -14 30 -18 0 -14 -28; "
     "S e 0 -14 8 8",
     NULL, NULL},
    {"house", "houses", false, "a chimney", {"with its door closed", "with its door open"},
     "+f T r 16 -44 14 34 1; M r -36 -10 72 58 1; R p -48 -8 0 -48 48 -8; S r -29 2 16 16 1; k l 2 -21 2 -21 18; "
     "S r 14 2 16 16 1; k l 2 22 2 22 18; -s B r -8 14 17 34 1; -s y e 5 32 2 2; +s K r -8 14 17 34 1; "
     "+s B p -8 14 -23 20 -23 53 -8 48", NULL, NULL},
    {"tree", "trees", false, "fruit", {"in leaf", "losing its leaves"},
     "B p -6 8 6 8 9 48 -9 48; M c 0 -49 28 -38 40 -12 26 12 0 16 -26 12 -40 -12 -28 -38; +f R e -16 -20 6 6; "
     "+f R e 10 -30 6 6; +f R e 18 -4 6 6; +f R e -8 4 6 6; +s M e -32 26 6 4; +s M e 28 30 6 4; "
     "+s M e -22 45 6 4; +s M e 24 47 6 4; +s M e 42 20 6 4",
     "from above",
     "M c 0 -46 20 -38 38 -34 44 0 34 34 4 44 -28 38 -46 8 -36 -30; D e 0 0 18 17; +f R e -22 -18 6 6; "
     "+f R e 18 -22 6 6; +f R e 24 14 6 6; +f R e -16 24 6 6; +s M e -50 36 5 4; +s M e 50 40 5 4; "
     "+s M e 46 -42 5 4"},
    {"flower", "flowers", false, "leaves", {"that is closed", "that is open"},
     "N l 5 0 -6 0 48; +f N c 2 34 18 16 34 16 22 32; +f N c -2 40 -18 22 -34 22 -22 38; +s M e 18 -20 12 11; "
     "+s M e 9 -36 12 12; +s M e -9 -36 12 12; +s M e -18 -20 12 11; +s M e -9 -6 12 12; +s M e 9 -6 12 12; "
     "+s Y e 0 -20 11 11; -s M c 0 -46 13 -26 10 -6 -10 -6 -13 -26; -s D c 0 -30 6 -18 0 -6 -6 -18; "
     "-s N p -11 -10 11 -10 0 2",
     "from above",
     "+f N c 20 10 46 10 48 34 28 32; +f N c -20 10 -46 10 -48 34 -28 32; +s M e 26 0 18 15; +s M e 13 -23 17 17; "
     "+s M e -13 -23 17 17; +s M e -26 0 18 15; +s M e -13 23 17 17; +s M e 13 23 17 17; +s Y e 0 0 15 15; "
     "-s M e 0 0 24 24; -s D e 0 0 12 12"},
    {"mushroom", "mushrooms", false, "grass", {"that is whole", "that is bitten"},
     "F c -10 0 10 0 16 46 -16 46; M c -46 0 -38 -28 0 -47 38 -28 46 0 0 7; +s F e 38 -10 14 14; "
     "+f N p -44 49 -38 22 -30 49; +f N p -32 49 -24 28 -18 49; +f N p 20 49 28 24 34 49; +f N p 34 49 42 30 46 49",
     "from above",
     "+f N p -50 44 -40 20 -30 46; +f N p 50 44 40 20 30 46; M e 0 0 44 42; D e 0 0 10 10; +s F e 36 -16 15 15"},
    {"cactus", "cacti", false, "a flower", {"in the sand", "in a pot"},
     "M r -42 -16 14 34 7; M r -42 6 36 13 6; M r 28 -26 14 34 7; M r 6 -4 36 13 6; M r -13 -40 26 86 13; "
     "+f P e 0 -42 12 9; +f Y e 0 -42 5 5; +s O p -26 24 26 24 18 49 -18 49; +s O r -30 20 60 10 2; "
     "-s U e 0 46 40 7", NULL, NULL},
    {"apple", "apples", false, "a leaf", {"that is whole", "that is bitten"},
     "B l 4 0 -22 5 -44; +f N c 6 -34 22 -48 40 -40 24 -28; "
     "M c 0 -24 22 -32 40 -16 38 16 18 44 0 40 -18 44 -38 16 -40 -16 -22 -32; +s F e 38 0 16 19", NULL, NULL},
    {"pear", "pears", false, "a leaf", {"that is whole", "that is bitten"},
     "B l 4 0 -34 5 -50; +f N c 5 -42 22 -52 38 -42 22 -34; "
     "M c 0 -40 14 -32 18 -10 34 14 28 40 0 48 -28 40 -34 14 -18 -10 -14 -32; +s F e 31 14 14 17", NULL, NULL},
    {"ice cream", "ice creams", false, "a cherry", {"that is frozen", "that is melting"},
     "O p -24 -2 24 -2 0 49; k l 1 -12 22 14 4; k l 1 12 22 -14 4; +f R e 0 -46 9 9; "
     "M c -29 0 -27 -24 0 -40 27 -24 29 0 14 5 0 0 -14 5; +s M r -22 -2 10 26 5; +s M r 6 -2 10 34 5; "
     "+s M e 0 47 26 5", NULL, NULL},
    {"cake", "cakes", false, "a candle", {"that is whole", "with a slice cut out"},
     "+f R r -4 -36 8 26 1; +f Y c 0 -52 5 -40 0 -36 -5 -40; G r -48 42 96 7 3; M r -40 -8 80 50 4; "
     "W c -43 -10 -40 -18 40 -18 43 -10 38 4 26 -2 14 6 0 -2 -14 6 -26 -2 -38 4; +s F p 2 -19 43 -19 43 42 20 42; "
     "+s P l 5 11 12 41 12",
     "from above",
     "G e 0 0 49 49; M e 0 0 41 41; W e 0 0 31 31; +f R e 0 0 6 6; +f Y e 0 0 3 3; +s G p 0 0 44 -26 49 10 42 28"},
    {"cup", "cups", false, "a handle", {"that is empty", "full of coffee"},
     "+f D o 7 32 8 14 16; M p -30 -22 30 -22 23 46 -23 46; W e 0 -22 30 8; +s B e 0 -21 24 5; -s T e 0 -20 22 4; "
     "+s w a 3 -8 -30 -14 -38 -4 -43 -9 -52; +s w a 3 9 -30 3 -38 13 -43 8 -52",
     "from above",
     "+f D r 30 -7 20 14 5; M e 0 0 38 38; W e 0 0 31 31; +s B e 0 0 26 26; -s G e 0 0 18 18"},
    {"bottle", "bottles", false, "a label", {"that is open", "that is closed"},
     "M r -9 -40 18 34 3; M c -18 -4 0 -16 18 -4 20 20 18 47 -18 47 -20 20; -s S e 0 -40 9 4; "
     "+s K r -12 -49 24 13 2; +f W r -19 8 38 22 1; +f k l 2 -12 15 12 15; +f k l 2 -12 22 12 22", NULL, NULL},
    {"teapot", "teapots", true, "a lid", {"that is cold", "that is steaming"},
     "D o 7 -34 10 14 18; M p 24 10 42 -18 50 -14 32 32; M c -32 6 -22 -18 22 -18 32 6 22 42 -22 42; "
     "+f D c -20 -18 0 -34 20 -18; +f D e 0 -36 6 6; -f K e 0 -18 20 5; +s w a 3 46 -24 40 -32 50 -38 44 -50; "
     "+s w a 3 56 -22 52 -32 60 -38 56 -48",
     "from above",
     "D r -50 -6 22 12 5; M p 24 -8 50 -4 50 4 24 8; +s w a 4 46 -8 40 -18 50 -28 44 -40; M e 0 0 33 33; "
     "+f D e 0 0 21 21; +f L e 0 0 6 6; -f K e 0 0 21 21"},
    {"lamp", "lamps", false, "a cord", {"that is off", "that is on"},
     "+s u p -34 -2 34 -2 54 44 -54 44; K r -22 40 44 9 3; G r -3 -2 6 44 1; +s Y e 0 2 9 9; "
     "M p -16 -46 16 -46 36 0 -36 0; +f k l 2 22 0 22 22; +f R e 22 25 5 5", NULL, NULL},
    {"chair", "chairs", true, "a cushion", {"with straight legs", "with a broken leg"},
     "B r -27 12 8 37 1; -s B r 18 12 8 37 1; +s B p 18 12 26 12 46 45 38 49; M r -30 -47 11 60 3; "
     "M r -28 4 56 12 3; +f R r -18 -7 42 12 6",
     NULL, NULL},
    {"clock", "clocks", false, "bells", {"showing nine o'clock", "showing three o'clock"},
     "+f Y e -24 -40 13 10; +f Y e 24 -40 13 10; K l 5 -28 38 -34 48; K l 5 28 38 34 48; M e 0 2 43 43; "
     "W e 0 2 33 33; k l 3 0 -26 0 -22; k l 3 0 30 0 26; k l 3 -28 2 -24 2; k l 3 28 2 24 2; k l 4 0 2 0 -18; "
     "+s k l 5 0 2 18 2; -s k l 5 0 2 -18 2; k e 0 2 4 4", NULL, NULL},
    {"book", "books", false, "a bookmark", {"that is closed", "that is open"},
     "+f R p 8 36 18 36 18 56 13 51 8 56; -s W r -30 -40 64 86 2; -s M r -34 -46 64 86 3; -s D r -34 -46 12 86 2; "
     "-s Y r -12 -30 34 16 1; +s M p -49 -28 0 -18 49 -28 49 38 0 46 -49 38; +s W p -44 -33 0 -22 0 38 -44 30; "
     "+s W p 44 -33 0 -22 0 38 44 30; +s g l 3 -36 -18 -8 -11; +s g l 3 -36 -4 -8 3; +s g l 3 -36 10 -8 17; "
     "+s g l 3 36 -18 8 -11; +s g l 3 36 -4 8 3; +s g l 3 36 10 8 17; "
     "+f R p 16 30 26 28 26 54 21 48 16 54", NULL, NULL},
    {"umbrella", "umbrellas", false, "a ball on top", {"that is closed", "that is open"},
     "+s B l 4 0 -40 0 34; -s B l 4 0 0 0 34; B a 4 0 34 4 46 13 46 16 38; "
     "+s M c -49 2 -38 -28 0 -46 38 -28 49 2 26 -5 0 2 -26 -5; -s M p 0 -46 12 24 0 28 -12 24; "
     "-s d l 2 0 -40 0 26; +f Y e 0 -47 7 7",
     "from above",
     "+s M p 0 -46 33 -33 46 0 33 33 0 46 -33 33 -46 0 -33 -33; +s d l 2 -40 -40 32 32; +s k l 2 0 -46 0 46; "
     "+s k l 2 -46 0 46 0; +s k l 2 -33 -33 33 33; +s k l 2 -33 33 33 -33; -s M e 0 0 18 18; -s k l 2 -18 0 18 0; "
     "-s k l 2 0 -18 0 18; +f Y e 0 0 8 8"},
    {"hat", "hats", false, "a ribbon", {"that is empty", "with a rabbit inside"},
     "+s W e -10 -36 6 17; +s P e -10 -36 3 11; +s W e 10 -36 6 17; +s P e 10 -36 3 11; +s W e 0 -16 18 14; "
     "+s k e -7 -20 3 3; +s k e 7 -20 3 3; M e 0 40 49 9; M p -26 -14 26 -14 24 40 -24 40; +f R r -25 20 50 14 0; "
     "-s K e 0 -14 26 6", NULL, NULL},
    {"shirt", "shirts", false, "a pocket", {"that is whole", "that is torn"},
     "M p -20 -42 20 -42 49 -22 38 2 26 -8 26 48 -26 48 -26 -8 -38 2 -49 -22; W p -11 -42 0 -26 11 -42; "
     "k e 0 -10 2 2; k e 0 10 2 2; k e 0 30 2 2; +f D r 6 -10 15 17 1; "
     "+s K p -27 14 -8 22 -20 26 -10 34 -27 34", NULL, NULL},
    {"shoe", "shoes", true, "laces", {"that is dry", "in a puddle"},
     "+s S c -58 44 -30 38 40 38 60 46 30 52 -40 52; M p -42 -24 -10 -24 0 -4 28 6 48 20 48 34 -42 34; "
     "K r -44 33 94 10 4; +f W l 4 -6 -8 10 -14; +f W l 4 2 0 18 -6; +f W l 4 12 5 26 -2; "
     "W c 34 16 46 20 47 32 32 32", NULL, NULL},
    {"gift", "gifts", false, "a bow", {"that is closed", "that is open"},
     "+s D p -46 -20 -38 -48 40 -38 46 -18; M r -40 -12 80 60 2; -s M r -45 -22 90 18 2; +s K r -40 -16 80 10 1; "
     "Y r -8 -10 16 58 0; -s Y r -8 -22 16 18 0; +f Y c 0 -22 -22 -44 -32 -30 -20 -20; "
     "+f Y c 0 -22 22 -44 32 -30 20 -20; +f Y e 0 -23 6 6", NULL, NULL},
    {"balloon", "balloons", false, "a bow", {"that is limp", "that is full"},
     "+s k a 2 0 22 6 32 -4 40 2 50; -s k a 2 0 36 5 42 -3 46 2 50; "
     "+s M c 0 -49 26 -40 32 -14 16 12 0 20 -16 12 -32 -14 -26 -40; -s M c 0 -8 13 2 15 14 0 32 -17 16 -12 0; "
     "+s M p -6 25 0 18 6 25; -s M p -6 37 0 30 6 37; +f R p 0 28 -18 18 -18 40; +f R p 0 28 18 18 18 40; "
     "+s w e -13 -26 5 9", NULL, NULL},
    {"drum", "drums", false, "sticks", {"on the floor", "on a stand"},
     "+s K l 5 -26 28 -36 49; +s K l 5 26 28 36 49; M r -38 -14 76 46 6; W e 0 -14 38 12; "
     "y l 3 -36 2 -20 28 -4 4 12 28 28 4 36 22; +f B l 5 -6 -14 -34 -46; +f F e -6 -14 5 5; "
     "+f B l 5 8 -12 38 -44; +f F e 8 -12 5 5",
     "from above",
     "+s K l 5 -30 30 -44 44; +s K l 5 30 30 44 44; M e 0 0 42 42; W e 0 0 34 34; +f B l 5 -4 6 -44 -30; "
     "+f F e -4 6 6 6; +f B l 5 8 0 34 -44; +f F e 8 0 6 6"},
    {0}};
// clang-format on
